"""Programs in processes of their own: their beginning, their end, and what they leave behind."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Processes that lose their parent become children of this one (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def begin(arguments: list[str], log: Path, prepare: Callable[[], object] = lambda: None) -> int:
    """Forks a process that runs a program as a user does, in a session of its own; returns its number.

    Args:
        arguments: The program, without `.py`, and its command line.
        log: What it prints is appended to this file.
        prepare: Is called in the process first.
    """
    process = os.fork()
    if process:
        return process
    os.setsid()
    status = 1
    try:
        prepare()
        with log.open("a") as file, redirect_stdout(file), redirect_stderr(file):
            for number in (1, 2):  # for the processes that it starts
                os.dup2(file.fileno(), number)
            from dgn.cli import commands

            sys.argv = [f"{arguments[0]}.py", *arguments[1:]]
            try:
                getattr(commands, arguments[0])()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:  # as the interpreter does
                traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int, limit: float = 1200.0) -> int:
    """Waits for a process; returns its status, or minus the signal that ended it."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    raise SystemExit(f"process {process} did not end within {limit} s")


def descendants(process: int) -> list[psutil.Process]:
    """The living processes below one, without Python's trackers, which end with the last that uses them."""
    found = []
    for child in psutil.Process(process).children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:  # it ended just now
            continue
    return found


def left_over(seconds: float = 30) -> list[int]:
    """Waits for processes that a killed one has left; returns those that do not end by themselves, and ends them.

    They have these seconds of processor time, or of the clock while they use none: on a busy machine, what has just
    started when its parent is killed can take minutes to import its modules before it notices.
    """
    used, idle_since = 0.0, time.monotonic()
    while (alive := descendants(os.getpid())) and used < seconds and time.monotonic() - idle_since < seconds:
        if abs((now := sum(map(_processor_time, alive))) - used) > 0.1:
            used, idle_since = now, time.monotonic()
        _reap()
        time.sleep(0.1)
    for child in alive:
        child.kill()
    _reap()
    return [child.pid for child in alive]


def _processor_time(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0


def _reap() -> None:
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(child.pid, os.WNOHANG)
