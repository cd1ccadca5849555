"""Signals between processes, also on Windows."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

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


def leave_group(worker: int = 0) -> None:
    """Makes this process, a worker of a data loader, ignore signals that are sent to all processes of a program.

    Ctrl-C, `timeout` and cluster schedulers signal the whole process group. The workers would end at once, and the
    main process would fail to read the images that it needs to finish its step and save its state. It ends its workers
    itself, and they end when it is gone. Signals that were sent while it started (`held_back`) are discarded.

    Args:
        worker: The worker's number; not used.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "sigtimedwait"):
        while signal.sigtimedwait(_TO_ALL, 0) is not None:
            pass
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_ALL)


@contextmanager
def held_back() -> Iterator[None]:
    """Delivers Ctrl-C and SIGTERM after the block. Processes that are forked in it begin with both held back."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_TO_ALL = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a program, and may be sent to all its processes."""
