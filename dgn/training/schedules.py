"""Learning-rate schedules, in steps or in fractions of a run."""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from dgn.errors import UserError


def halve(optimizer: Optimizer, max_steps: int, at: Sequence[float], factor: float = 0.5) -> LRScheduler:
    """The paper's schedule: the learning rate times `factor` at each of `at`, which are steps (>= 1) or fractions
    of max_steps (< 1). DeePSiM: 300k, 500k, 700k, 900k of 1M."""
    if any(not 0 < place for place in at):
        raise UserError(f"schedule.at={list(at)} holds a place that is not positive; give steps or fractions below 1")
    steps = sorted(round(place * max_steps) if place < 1 else int(place) for place in at)
    return MultiStepLR(optimizer, steps, factor)


def one_cycle(optimizer: Optimizer, max_steps: int, warmup: float = 0.2) -> LRScheduler:
    """Up to the learning rate over the first `warmup` of the run, then down to nearly nothing (Smith 2018): what
    fits a small classifier in the fewest steps."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, peaks, total_steps=max(2, max_steps), pct_start=warmup)
