"""Fit a prior to a network's layer (task=prior), or a classifier to invert (task=encoder).

What the command `dgn-train` does, from a checkout. `--help` explains.
"""

from dgn.cli.commands import train

if __name__ == "__main__":
    train()
