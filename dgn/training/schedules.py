"""Learning-rate schedules, in steps or in fractions of a run: pure functions of the step."""

import math
from collections.abc import Sequence
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from dgn.errors import UserError


def optimizer_of(module: pl.LightningModule) -> LightningOptimizer:
    """Returns the optimizer of a module."""
    return cast(LightningOptimizer, module.optimizers())


def schedule_of(module: pl.LightningModule) -> LRScheduler:
    """Returns the learning-rate schedule of a module."""
    return cast(LRScheduler, module.lr_schedulers())


def halve(optimizer: Optimizer, max_steps: int, at: Sequence[float], factor: float = 0.5, warmup: int = 0) -> LambdaLR:
    """The paper's schedule: multiplies the learning rate by `factor` at given steps.

    Args:
        optimizer: The optimizer.
        max_steps: Length of the run in steps.
        at: Steps (>= 1) or fractions of max_steps (< 1). DeePSiM: 300k, 500k, 700k, 900k of 1M.
        factor: Factor of the learning rate.
        warmup: Steps of a linear warmup from 0. The paper has none.

    Raises:
        UserError: If an element of `at` is not positive.
    """
    if any(place <= 0 for place in at):
        raise UserError(f"schedule at={list(at)} holds a place that is not positive; give steps or fractions below 1")
    places = [round(place * max_steps) if place < 1 else int(place) for place in at]

    def rate(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return rising * factor ** sum(step >= place for place in places)

    return LambdaLR(optimizer, rate)


def one_cycle(optimizer: Optimizer, max_steps: int, warmup: float = 0.2) -> LambdaLR:
    """One-cycle schedule (Smith 2018), which trains a small classifier in the fewest steps.

    The learning rate rises to its maximum and then falls to 0, both along a cosine.

    Args:
        optimizer: The optimizer.
        max_steps: Length of the run in steps.
        warmup: Fraction of the run in which the rate rises.
    """
    peak = max(1, round(warmup * max_steps))

    def rate(step: int) -> float:
        if step < peak:
            return 0.52 - 0.48 * math.cos(math.pi * step / peak)
        return 0.5 + 0.5 * math.cos(math.pi * min(1, (step - peak) / max(1, max_steps - peak)))

    return LambdaLR(optimizer, rate)
