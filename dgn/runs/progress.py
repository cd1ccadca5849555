"""Says how far a long phase of a program is, what it is for and how to make it shorter."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST, EVERY = 5.0, 30.0
"""Seconds until a phase is announced, and between its further lines. A phase that is shorter says nothing."""


class Phase:
    """A phase of a program, which logs lines about itself if it takes long.

    Args:
        total: The number of its items.
        what: What is done and what for: "Reading real images, for percentiles and distances".
        shorter: How to make it shorter: "fewer with reference_images=N".
    """

    def __init__(self, total: int, what: str, shorter: str) -> None:
        self._total, self._what, self._shorter = total, what, shorter
        self._began = time.monotonic()
        self._due, self._said = self._began + FIRST, False

    def reached(self, done: int) -> None:
        """Logs a line if one is due. `done` is the number of items that are finished."""
        now = time.monotonic()
        if now < self._due or not 0 < done < self._total:
            return
        left = (now - self._began) / done * (self._total - done)
        shorter = "" if self._said else f" ({self._shorter})"
        log.info("%s: %d of %d, about %.0f s left%s", self._what, done, self._total, left, shorter)
        self._due, self._said = now + EVERY, True

    def postpone(self) -> None:
        """Makes the next line due as if one had been logged now, where another line says as much."""
        self._due = time.monotonic() + EVERY


def announced(parts: Iterable[T], total: int, what: str, shorter: str, size: int = 1) -> Iterator[T]:
    """Yields the parts of a phase, and logs lines about it if it takes long.

    The time between parts counts too, as it is what is computed with them.

    Args:
        parts: The parts, for example batches of images.
        total: The number of items in all parts.
        what: As for `Phase`.
        shorter: As for `Phase`.
        size: The number of items in a part; the last part may have fewer.
    """
    phase, done = Phase(total, what, shorter), 0
    for part in parts:
        yield part
        done = min(done + size, total)
        phase.reached(done)
