"""Updates: how a step follows the gradient."""

from typing import Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """begin(parameters, steps, unit) once; then step(parameters, gradient, i) changes the parameters in place,
    upwards. parameters, gradient: (N, ...); every row is a search of its own. unit: what sizes are stated in
    (`Parametrization.unit`)."""

    def begin(self, parameters: Tensor, steps: int, unit: float) -> None: ...

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None: ...


class NormalizedAscent:
    """DGN-AM's published rule: the gradient divided by its mean absolute value, times a step size that goes
    linearly from `first` to `last` over the search.

    The published loop divides the gradient at the image by its mean absolute value as well; as the way from image
    to code is linear in that gradient and the code's is divided again, that first division changes nothing.
    first, last: 8 and 1e-10 for CaffeNet-like networks, 2 for GoogLeNet, 1 from a real image, on the scale of
    CaffeNet's fc6 (`Parametrization.unit` brings it to others).
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


class Adam:
    """Adam (Kingma & Ba 2015), each row with moments of its own. lr: in the parametrization's unit, falling
    linearly to nothing where `decay` is true."""

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
    """The same with Nesterov's momentum (Dozat 2016), which MACO climbs with."""

    def _make(self, parameters: Tensor, lr: float) -> torch.optim.Optimizer:
        return torch.optim.NAdam([parameters], lr=lr)


class AdaptiveMomentum:
    """Mahendran & Vedaldi's rule, as their published code (nnpreimage) has it: momentum over gradients that are
    divided by the root of a running sum of their squares,

        G <- mu G + g^2,   m <- mu m + g / (1 / lr + sqrt G),   x <- x + m,

    with everything on the scale of 0..255 pixels. lr: 0.05 * 80^2 / 6, where 80 is the norm of a typical pixel.
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
