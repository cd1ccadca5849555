"""Regularizers: what is done to the parameters at each step beside climbing.

Each has any of two parts: `loss(parameters, parametrization)` -> (N,), subtracted from the objective, and
`project(parameters, parametrization)`, which changes them in place after the step.
"""

import torch
from torch import Tensor

from dgn.am.parametrizations import Parametrization


class L2Loss:
    """lambda * |y|^2 in the objective (Nguyen et al. 2016, eq. 1). weight: lambda; the paper's figure is 0.005, for
    codes on the scale of CaffeNet's fc6."""

    def __init__(self, weight: float = 0.005) -> None:
        self.weight = weight

    def loss(self, parameters: Tensor, parametrization: Parametrization) -> Tensor:
        return self.weight * (parameters / parametrization.unit).flatten(1).square().sum(1)


class Decay:
    """y <- factor * y after each step: the L2 term as the published search applies it (factor 0.99)."""

    def __init__(self, factor: float = 0.99) -> None:
        self.factor = factor

    def project(self, parameters: Tensor, parametrization: Parametrization) -> None:
        parameters.mul_(self.factor)


class Clip:
    """Every parameter into the parametrization's bounds after each step: DGN-AM keeps each code unit within
    [0, mean + 3 sigma] of its activations on real images (Nguyen et al. 2016, 2.4)."""

    def project(self, parameters: Tensor, parametrization: Parametrization) -> None:
        if parametrization.bounds is not None:
            low, high = parametrization.bounds
            torch.maximum(torch.minimum(parameters, high, out=parameters), low, out=parameters)
