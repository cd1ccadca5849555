"""Regularizers of any parametrization's parameters: their norm, their bounds, the size of their gradient."""

import torch
from torch import Tensor

from dgn.am.step import Step


class L2Loss:
    """lambda * |y|^2 (Nguyen et al. 2016, eq. 1; Simonyan et al. 2013, eq. 1).

    Args:
        weight: lambda. DGN-AM uses 0.005, for codes on the scale of CaffeNet's fc6. Pixels are on a scale of 0..255.
    """

    def __init__(self, weight: float = 0.005) -> None:
        self.weight = weight

    def loss(self, step: Step) -> Tensor:
        return self.weight * (step.parameters / step.parametrization.unit).flatten(1).square().sum(1)


class Decay:
    """y <- factor * y after each step.

    This is the L2 term as the published search applies it (factor 0.99), and the decay of Yosinski et al. 2015
    (factor 1 - theta_decay).
    """

    def __init__(self, factor: float = 0.99) -> None:
        self.factor = factor

    def project(self, step: Step) -> None:
        step.parameters.mul_(self.factor)


class Clip:
    """Clips every parameter to the parametrization's bounds after each step.

    DGN-AM keeps each code unit within [0, mean + 3 sigma] of its activations on real images (Nguyen et al. 2016,
    section 2.4); pixels stay within [0, 1]; codes along principal axes stay within an ellipsoid (`Ellipsoid`).

    Args:
        high: one upper bound for all parameters instead, in the parametrization's unit. PPGN uses 30 on codes of
            CaffeNet's fc6.
    """

    def __init__(self, high: float | None = None) -> None:
        self.high = high

    def project(self, step: Step) -> None:
        bounds = step.parametrization.bounds
        if bounds is None:
            return
        if not isinstance(bounds, tuple):
            bounds.clip(step.parameters)
            return
        low, high = bounds
        if self.high is not None:
            limit = self.high * step.parametrization.unit
            low, high = low.clamp(-limit, 0), torch.full_like(high, limit)
        torch.maximum(torch.minimum(step.parameters, high, out=step.parameters), low, out=step.parameters)


class UnitGradient:
    """Scales the gradient so far to the mean absolute value `size`, independent of the objective's scale.

    The regularizers after it in the list then have the same relative weight for every unit of every network.

    Args:
        size: the mean absolute value, in the parametrization's unit.
    """

    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-20).view(-1, *[1] * (gradient.ndim - 1))
        return gradient / scale * (self.size / step.parametrization.unit)
