"""Show what the units of a network prefer to see, through a prior.

What the command `dgn-visualize` does, from a checkout. `--help` explains.
"""

from dgn.cli.commands import visualize

if __name__ == "__main__":
    visualize()
