"""Searches that do not fit in memory together: half of them at a time, once."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dgn.am.objectives.algebra import Objective
from dgn.am.preferred import Preferred, joined
from dgn.errors import UserError
from dgn.runs.memory import give_back, ran_out

log = logging.getLogger(__name__)


def in_memory(
    search: Callable[[Sequence[Objective], Sequence[int]], Preferred],
    batch: tuple[Sequence[Objective], Sequence[int]],
    together: int,
    least: int = 1,
) -> tuple[Preferred, int]:
    """Runs a batch of searches, in parts of `together`; in parts of half as many if memory runs out, once.

    Args:
        search: Runs searches, given an objective and a seed of each.
        batch: The objectives and the seeds.
        together: The number of searches that fit in memory, as far as is known.
        least: Parts are multiples of this, which cannot be divided.

    Returns:
        The result of the whole batch, and the number that fit.

    Raises:
        UserError: If half as many do not fit either, or if the batch cannot be divided.
    """
    try:
        return _in_parts(search, batch, together), together
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
    size = min(together, len(batch[1]))
    half = size // 2 // least * least
    if half < 1 or half < least:
        raise UserError(f"memory ran out with {size} searches at once, which cannot be fewer; take smaller images")
    log.warning("Memory ran out with %d searches at once: going on with %d (batch_size=%d)", size, half, half)
    give_back()
    try:
        return _in_parts(search, batch, half), half
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise UserError(f"memory ran out with {half} searches at once too; give a smaller batch_size=N") from None


def _in_parts(
    search: Callable[[Sequence[Objective], Sequence[int]], Preferred],
    batch: tuple[Sequence[Objective], Sequence[int]],
    size: int,
) -> Preferred:
    objectives, seeds = batch
    if len(seeds) <= size:
        return search(objectives, seeds)
    parts = [search(objectives[i : i + size], seeds[i : i + size]) for i in range(0, len(seeds), size)]
    return replace(joined(parts, list(dict.fromkeys(objectives))), objectives=list(objectives), seeds=list(seeds))
