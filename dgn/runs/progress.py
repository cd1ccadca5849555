"""Says how far a long phase of a program is, what it is for and how to make it shorter."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST, EVERY = 5.0, 30.0
"""Seconds until a phase is announced, and between its further lines. A phase that is shorter says nothing."""


def announced(parts: Iterable[T], total: int, what: str, shorter: str, size: int = 1) -> Iterator[T]:
    """Yields the parts of a phase, and logs lines about it if it takes long.

    The time between parts counts too, as it is what is computed with them.

    Args:
        parts: The parts, for example batches of images.
        total: The number of items in all parts.
        what: What is done and what for: "reading real images, for percentiles and distances".
        shorter: How to make it shorter: "fewer with reference_images=N".
        size: The number of items in a part; the last part may have fewer.
    """
    began = time.monotonic()
    due, done, announced = began + FIRST, 0, False
    for part in parts:
        yield part
        done = min(done + size, total)
        now = time.monotonic()
        if now < due or done >= total:
            continue
        left = (now - began) / done * (total - done)
        log.info("%s: %d of %d, about %.0f s left%s", what, done, total, left, "" if announced else f" ({shorter})")
        due, announced = now + EVERY, True
