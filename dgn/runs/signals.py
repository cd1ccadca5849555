"""Signals between processes, also on Windows."""

import os
import signal

WINDOWS = os.name == "nt"


def send(process: int, number: int) -> None:
    """Sends a signal to a process.

    On Windows, where `os.kill` ends a process at once whatever the signal, a process sends it to itself by raising it.
    Ctrl-C is not forwarded to another process there, as its console has sent it to all of them; any other signal ends
    the other process.

    Args:
        process: The process's number (pid).
        number: The signal's number.
    """
    if not WINDOWS:
        os.kill(process, number)
    elif process == os.getpid():
        signal.raise_signal(number)
    elif number != signal.SIGINT:
        os.kill(process, number)
