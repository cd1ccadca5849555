"""Updates: how a step follows the gradient."""

from typing import Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """An update rule.

    `begin(parameters, steps, unit)` is called once; `step(parameters, gradient, i)` then changes the parameters in
    place, to increase the objective. parameters and gradient are (N, ...), where each row is an independent search.
    Step sizes are in `unit` (`Parametrization.unit`).
    """

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None: ...

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None: ...


class NormalizedAscent:
    """DGN-AM's published rule: the gradient divided by its mean absolute value, times a decreasing step size.

    The step size changes linearly from `first` to `last` over the search. The published loop also divides the
    gradient at the image by its mean absolute value. The code's gradient is linear in that gradient and is normalized
    again, so that the first division changes nothing.

    Args:
        first: the first step size, on the scale of CaffeNet's fc6 (`Parametrization.unit` converts it): 8 for
            CaffeNet-like networks, 2 for GoogLeNet, 1 from a real image.
        last: the last step size, published as 1e-10.
    """

    def __init__(self, first: float = 8.0, last: float = 1e-10) -> None:
        self.first, self.last = first, last

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        self._steps, self._unit = steps, unit

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        size = self.first + (self.last - self.first) * i / max(1, self._steps)
        scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-20)
        scale = scale.view(-1, *[1] * (gradient.ndim - 1))
        parameters.add_(gradient / scale, alpha=size * self._unit)


class Ascent:
    """Adds the gradient as the regularizers have left it, e.g. the moves of `dgn.am.regularizers.Guidance`."""

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        """Needs nothing."""

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        parameters.add_(gradient)


class StepLength:
    """Steps along the gradient, of one length for every unit, network and code.

    Along principal axes a length of 1 is one standard deviation of real codes: as far as the objective is linear, its
    value rises by one standard deviation of its values over real images, whatever the number of the code's units.

    Args:
        first: the length of the first step (the norm of the change of a search's parameters).
        last: that of the last; linear in between.
    """

    def __init__(self, first: float = 0.5, last: float = 0.0) -> None:
        self.first, self.last = first, last

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        self._steps = steps

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        length = self.first + (self.last - self.first) * i / max(1, self._steps)
        norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-20).view(-1, *[1] * (gradient.ndim - 1))
        parameters.add_(gradient / norm, alpha=length)


class Adam:
    """Adam (Kingma & Ba 2015).

    Args:
        lr: the learning rate, in the parametrization's unit.
        decay: whether the learning rate decreases linearly to zero.
    """

    def __init__(self, lr: float = 0.5, decay: bool = True) -> None:
        self.lr, self.decay = lr, decay

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        self._steps, self._unit = steps, unit
        self._optimizer = self._make(parameters, self.lr * unit)

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        left = 1 - i / max(1, self._steps) if self.decay else 1.0
        self._optimizer.param_groups[0]["lr"] = self.lr * self._unit * left
        parameters.grad = -gradient
        self._optimizer.step()

    def _make(self, parameters: Tensor, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam([parameters], lr=lr)


class NAdam(Adam):
    """Adam with Nesterov momentum (Dozat 2016), as used by MACO."""

    def _make(self, parameters: Tensor, lr: float) -> torch.optim.Optimizer:
        return torch.optim.NAdam([parameters], lr=lr)


class AdaptiveMomentum:
    """Mahendran & Vedaldi's rule, from their published code (nnpreimage).

    It is momentum over gradients divided by the root of a running sum of their squares,

        G <- mu G + g^2,   m <- mu m + g / (1 / lr + sqrt G),   x <- x + m,

    with pixels on a scale of 0..255.

    Args:
        lr: 0.05 * 80^2 / 6, where 80 is the norm of a typical pixel.
        momentum: mu.
    """

    def __init__(self, lr: float = 0.05 * 80**2 / 6, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        self._unit = unit
        self._squares, self._momentum = torch.zeros_like(parameters), torch.zeros_like(parameters)

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        gradient = gradient * self._unit
        self._squares.mul_(self.momentum).add_(gradient.square())
        self._momentum.mul_(self.momentum).add_(gradient / (1 / self.lr + self._squares.sqrt()))
        parameters.add_(self._momentum, alpha=self._unit)
