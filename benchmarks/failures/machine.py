"""Failures of the machine in a training: full and read-only disks, clocks, shares, workers, memory."""

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from failures.processes import begin, ended
from failures.programs import resume, run


@contextmanager
def disk(folder: Path, options: str) -> Iterator[bool]:
    """Mounts a file system in memory on a folder; yields whether it could (as root, on Linux)."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], stderr=subprocess.DEVNULL)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def jumping_clock() -> None:
    """A clock that jumps an hour back and forth."""
    real, chance = time.time, random.Random(0)

    def jumping() -> float:
        return real() + chance.choice((-3600, 0, 3600))

    mock.patch("time.time", jumping).start()


def stalling_share() -> None:
    """A share of which every rename takes two seconds, and one in five fails once."""
    real, calls = os.replace, [0]

    def slow(*names: object, **options: object) -> None:
        time.sleep(2)
        calls[0] += 1
        if calls[0] % 5 == 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(names[-1]))
        real(*names, **options)  # type: ignore[arg-type]

    mock.patch("os.replace", slow).start()


def dying_worker() -> None:
    """A data worker that is killed in the middle."""
    from dgn.data.datamodule import Stream

    read, count = Stream.__getitems__, [0]

    def killed(self: Stream, positions: list[int]) -> list:
        count[0] += 1
        if count[0] == 3 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, positions)

    mock.patch.object(Stream, "__getitems__", killed).start()


def no_memory() -> None:
    """A training step that runs out of memory."""
    from dgn.training.inversion import Inversion

    step = Inversion.training_step

    def limited(self: Inversion, *arguments: object) -> None:
        if self.global_step >= 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self, *arguments)

    Inversion.training_step = limited


def faults(scratch: Path) -> None:
    """Runs a short training under each fault, and prints its last line."""
    ended(begin(run("prior", scratch / "warm", Path()), scratch / "warm.log"))  # the images are in the cache then
    cases: dict[str, tuple[Callable[[], object], list[str]]] = {
        "clock that jumps": (jumping_clock, []),
        "share that stalls": (stalling_share, []),
        "data worker that dies": (dying_worker, ["data.num_workers=2"]),
        "out of memory": (no_memory, []),
    }
    for name, (prepare, further) in cases.items():
        log, folder = scratch / f"{name}.log", scratch / name.replace(" ", "-")
        began = time.monotonic()
        command = run("prior", folder, Path()) + further
        status = ended(begin(command, log, prepare))
        lines = log.read_text().strip().splitlines()
        print(f"{name}: status {status}, {time.monotonic() - began:.0f} s, traceback {'Traceback' in log.read_text()}")
        print(f"    {lines[-1].replace(str(scratch), '')[:400]}", flush=True)
        if status:  # what was kept goes on once the fault is gone
            status = ended(begin(resume(folder, command), log))
            print(f"    afterwards: status {status}", flush=True)
    for name, options in (("full disk", "size=2m"), ("read-only disk", "ro")):
        with disk(scratch / name, options) as mounted:
            if not mounted:
                print(f"{name}: not tried, as no file system can be mounted here")
                continue
            log, folder = scratch / f"{name}.log", scratch / name / "run"
            status = ended(begin(run("prior", folder, Path()), log))
            line = log.read_text().strip().splitlines()[-1].replace(str(scratch), "")
            print(f"{name}: status {status}, traceback {'Traceback' in log.read_text()}\n    {line[:400]}", flush=True)
            if options == "size=2m":  # what was kept goes on when there is space
                subprocess.run(["mount", "-o", "remount,size=200m", str(scratch / name)], check=True)
                status = ended(begin(resume(folder, run("prior", folder, Path())), log))
                print(f"    afterwards: status {status}", flush=True)
