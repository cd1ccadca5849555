"""Runs damaged inputs: each in a folder of its own, in a process that ends with them if they kill it."""

import contextlib
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from unittest import mock

import torch

from damaged import commands, pictures, runs, weights  # noqa: F401 (they register their kinds, in this order)
from damaged.case import KINDS
from damaged.hostile import CANARY
from dgn.cli.entry import _ending
from dgn.errors import UserError

SECONDS, MEMORY = 10, 2 * 2**30
"""The limits of one input: seconds of processor time, and bytes."""
_HANGS = 60
"""Seconds of the clock after which an input that waits is given up."""
_SOCKETS = ("socket.create_connection", "socket.getaddrinfo")
LONGEST = 3000
"""Characters of an error."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        kind: Its kind.
        number: Its number; with the seed and the kind, it makes the input again.
        verdict: "error", a clear line; "read"; else what is wrong: "traceback", "unclear", "ran code", "wrote
            elsewhere", "time", "memory", "died".
        message: The error.
        seconds: The processor time that it took.
        memory: Bytes beyond those that the process had before.
    """

    kind: str
    number: int
    verdict: str
    message: str
    seconds: float
    memory: int

    @property
    def good(self) -> bool:
        return self.verdict in ("error", "read")


def run_one(kind: str, number: int, seed: int, folder: Path) -> Outcome:
    """Makes an input in a new folder, reads it in this process, and removes the folder."""
    random = Random(f"{seed}/{kind}/{number}")
    place = folder / "here" / "input"
    shutil.rmtree(folder, ignore_errors=True)
    place.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(place)
    verdict, message, before, began = "read", "", 0, time.process_time()
    case = KINDS[kind](place, random)
    around = _listed(folder)
    try:
        _forget_peak()
        before, began = _memory("VmRSS"), time.process_time()
        case.read()
    except UserError as error:
        message = _ending(error, "train")[0].removeprefix("error: ")
        named = any(name[:150] in message for name in case.named)
        clear = named and "\n" not in message and message.isprintable() and 10 < len(message) < LONGEST
        verdict = "error" if clear else "unclear"
    except Exception as error:
        verdict, message = "traceback", f"{type(error).__name__}: {error}"
        tb = error.__traceback__
        while tb is not None:
            if f"{os.sep}dgn{os.sep}" in tb.tb_frame.f_code.co_filename:
                where = f"{Path(tb.tb_frame.f_code.co_filename).name}:{tb.tb_lineno}"
            tb = tb.tb_next
        message = f"[{locals().get('where', '')}] {message}"
    finally:
        os.chdir(here)
    seconds, memory = time.process_time() - began, max(0, _memory("VmHWM") - before)
    if any(place.rglob(CANARY)):
        verdict = "ran code"
    elif _listed(folder) != around:
        verdict = "wrote elsewhere"
    elif seconds > SECONDS:
        verdict = "time"
    elif memory > MEMORY:
        verdict = "memory"
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(kind, number, verdict, message, seconds, memory)


def run_all(inputs: Sequence[tuple[str, int]], seed: int, folder: Path) -> Iterator[Outcome]:
    """Runs the inputs in a process that is replaced when one of them hangs, takes the memory or kills it."""
    waiting = list(inputs)
    while waiting:
        ours, theirs = multiprocessing.Pipe()
        worker = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, waiting, seed, folder))
        worker.start()
        theirs.close()
        while waiting:
            kind, number = waiting[0]
            verdict = ""
            if ours.poll(_HANGS):
                try:
                    yield ours.recv()
                except EOFError:
                    verdict = "died"
            else:
                verdict = "time"
            waiting.pop(0)
            if verdict:
                worker.kill()
                worker.join()
                yield Outcome(kind, number, verdict, f"exit status {worker.exitcode}", SECONDS, 0)
                break
        worker.join()


def _work(connection: Connection, inputs: Sequence[tuple[str, int]], seed: int, folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with quiet():
        for kind, number in inputs:
            # An input that takes far too much ends as a failed allocation, and not as the machine's.
            limit = _memory("VmSize") + 4 * MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            connection.send(run_one(kind, number, seed, folder / str(os.getpid())))
    os._exit(0)


class quiet:
    """No log lines, no warnings and no network; the root logger is as it was afterwards."""

    def __enter__(self) -> None:
        logging.disable(logging.CRITICAL)
        self.logs = (logging.root.handlers[:], logging.root.level)
        self.parts = [mock.patch(name, side_effect=OSError("no network")) for name in _SOCKETS]
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.simplefilter("ignore")
        for part in self.parts:
            part.start()

    def __exit__(self, *error: object) -> None:
        logging.disable(logging.NOTSET)
        # Hydra gives each job a log file, in a folder that is removed with its input.
        logging.root.handlers[:], level = self.logs
        logging.root.setLevel(level)
        self.caught.__exit__(*error)
        for part in self.parts:
            part.stop()


def _listed(folder: Path) -> list[Path]:
    """The files around an input's folder."""
    return sorted(path for path in folder.rglob("*") if "input" not in path.relative_to(folder).parts)


def _memory(name: str) -> int:
    """Bytes of this process, from the system; 0 where it does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:"))


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
