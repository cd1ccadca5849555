"""Learning-rate schedules, in steps or in fractions of a run: pure functions of the step."""

import math
from collections.abc import Sequence
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from dgn.errors import UserError


def get_optimizer(module: pl.LightningModule) -> LightningOptimizer:
    """Returns the only optimizer of a module."""
    return cast(LightningOptimizer, module.optimizers())


def get_schedule(module: pl.LightningModule) -> LRScheduler:
    """Returns the only learning-rate schedule of a module."""
    return cast(LRScheduler, module.lr_schedulers())


def halve(optimizer: Optimizer, max_steps: int, at: Sequence[float], factor: float = 0.5, warmup: int = 0) -> LambdaLR:
    """The schedule of the paper: multiplies the learning rate by `factor` at each of `at`.

    Args:
        optimizer: The optimizer.
        max_steps: The length of training in steps.
        at: Steps (>= 1), or fractions of max_steps (< 1). DeePSiM: 300k, 500k, 700k, 900k of 1M.
        factor: The factor at each of them.
        warmup: Steps over which the rate rises from 0 (the paper has no warmup).

    Raises:
        UserError: If one of `at` is not positive.
    """
    if any(place <= 0 for place in at):
        raise UserError(f"schedule at={list(at)} holds a place that is not positive; give steps or fractions below 1")
    places = [round(place * max_steps) if place < 1 else int(place) for place in at]

    def rate(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return rising * factor ** sum(step >= place for place in places)

    return LambdaLR(optimizer, rate)


def one_cycle(optimizer: Optimizer, max_steps: int, warmup: float = 0.2) -> LambdaLR:
    """Raises the learning rate over the first `warmup` (a fraction) of the run, then lowers it to 0, along cosines.

    The schedule of Smith 2018, which trains a small classifier in the fewest steps.
    """
    peak = max(1, round(warmup * max_steps))

    def rate(step: int) -> float:
        if step < peak:
            return 0.52 - 0.48 * math.cos(math.pi * step / peak)
        return 0.5 + 0.5 * math.cos(math.pi * min(1, (step - peak) / max(1, max_steps - peak)))

    return LambdaLR(optimizer, rate)
