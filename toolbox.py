"""Look into a network on a live page of this machine, in a browser.

What the command `dgn-toolbox` does, from a checkout. `--help` explains.
"""

from dgn.cli.commands import toolbox

if __name__ == "__main__":
    toolbox()
