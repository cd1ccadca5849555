"""Set runs side by side: priors, or searches.

What the command `dgn-compare` does, from a checkout: `python compare.py RUN RUN ... [KEY=VALUE ...]`. `--help`
explains.
"""

from dgn.cli.commands import compare

if __name__ == "__main__":
    compare()
