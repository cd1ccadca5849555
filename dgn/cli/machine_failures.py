"""One-line messages for failures of the machine: memory or disk that ran out, processes that were killed."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dgn.errors import UserError, one_line
from dgn.runs.folders import CHECKPOINT, PREVIOUS, STARTED
from dgn.runs.memory import ran_out
from dgn.runs.programs import command, override, own_configs_flag

_OF_DISK = [
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.EFBIG,
    errno.EACCES,
    errno.ETIMEDOUT,
]
_DISK = re.compile(
    "|".join([*map(re.escape, map(os.strerror, _OF_DISK)), "inline_container", "PytorchStreamWriter failed"])
)
"""The last two: how torch.save says that a file could not be written to its end."""
_DEAD_WORKER = re.compile(
    r"DataLoader worker[^\n]*(?:killed by signal|exited unexpectedly)[^\n]*|insufficient shared memory|Bus error"
)


def machine_failure(error: BaseException, program: str, folder: Path) -> UserError | None:
    """Returns the error of a run that the machine has ended, with how to go on; None for any other error.

    Args:
        error: What ended the run.
        program: train, visualize or compare.
        folder: The run's folder.
    """
    for cause in _causes(error):
        if isinstance(cause, UserError):
            of_disk = isinstance(cause.__cause__, OSError) and cause.__cause__.errno in _OF_DISK
            return UserError(f"{cause}; {_next_step(program, folder)}") if of_disk else None
        if isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
            return UserError(f"a setting names a path that is too long for a file: {one_line(cause)[:300]}; shorten it")
        reason = _reason(cause, program)
        if reason is not None:
            return UserError(f"{reason}; {_next_step(program, folder)}")
    return None


def _reason(error: BaseException, program: str) -> str | None:
    text = str(error)
    of_disk = isinstance(error, OSError) and error.errno in _OF_DISK
    if of_disk or (isinstance(error, RuntimeError) and _DISK.search(text)):
        line = next((line for line in reversed(text.splitlines()) if _DISK.search(line)), text)
        if "inline_container" in line:
            line = "a file could not be written to its end: the disk is probably full"
        return f"the file system failed ({one_line(line)[:300]}); free some space, or choose another disk or folder"
    if dead := _DEAD_WORKER.search(text):
        return (
            f"a data worker died ({one_line(dead[0])[:160]}): it was killed, or memory ran out; take fewer with "
            "data.num_workers=N"
        )
    if ran_out(error):
        smaller = "data.batch_size=N accumulate=M (N x M as before)" if program == "train" else "batch_size=N"
        return f"memory ran out ({one_line(text)[:160] or 'MemoryError'}); take smaller batches with {smaller}"
    if "a process ended without a word" in text:
        return one_line(text)
    return None


def _next_step(program: str, folder: Path) -> str:
    kept = {"train": (CHECKPOINT, PREVIOUS), "visualize": (STARTED,)}.get(program, ())
    if any((folder / name).is_file() for name in kept):
        resume = command(program, *own_configs_flag(), override("resume", folder))
        return f"what was done is kept; resume with: {resume}"
    return "nothing was saved yet; run the command again"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what it was raised from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
