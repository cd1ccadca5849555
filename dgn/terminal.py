"""What the screen can show."""

import sys


def interactive() -> bool:
    """Whether a progress bar can be shown."""
    return sys.stdout.isatty()
