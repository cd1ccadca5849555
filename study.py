"""Run one of the papers' experiments, with a verdict on its claim.

What the command `dgn-study` does, from a checkout: `python study.py study=NAME [KEY=VALUE ...]`. `--help` explains.
"""

from dgn.cli.commands import study

if __name__ == "__main__":
    study()
