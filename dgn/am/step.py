"""One step of a search, as its parts see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective


@dataclass
class Step:
    """i of steps. parametrization, parameters (N, ...): what is optimized; images (N, 3, H, W): what it stands for
    before the step, attached to the parameters; slope (N, 3, H, W): the gradient of the objective alone at the
    images; draws: the step's random numbers."""

    parametrization: Any
    parameters: Tensor
    images: Tensor
    draws: "Draws"
    i: int
    steps: int
    slope: Tensor | None = None

    @property
    def progress(self) -> float:
        """0 at the first step, 1 at the last."""
        return self.i / max(1, self.steps - 1)

    def pixels(self) -> Tensor:
        """What the images differ by from the parametrization's zero image (else from mid-grey), on 0..255, where
        published methods on pixels count: (N, 3, H, W). After the step, of the new parameters."""
        if hasattr(self.parametrization, "zero"):
            return self.parameters / self.parametrization.unit
        images = self.images if self.parameters.requires_grad else self.parametrization.images(self.parameters)
        return (images - 0.5) * 255

    def repaint(self, pixels: Tensor) -> None:
        """Changes the parameters to those that stand for these pixels."""
        if hasattr(self.parametrization, "zero"):
            self.parameters.copy_(pixels * self.parametrization.unit)
        else:
            self.parameters.copy_(self.parametrization.of((pixels / 255 + 0.5).clamp(0, 1)))


class Draws:
    """Random numbers for searches that run together: each has a generator of its own, seeded by its seed, so that
    what it draws does not depend on who runs beside it."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        # Another stream than that of the starts, which are drawn from the seed itself.
        self.generators = [torch.Generator().manual_seed((s * 0x9E3779B1 + 0x7F4A7C15) % 2**63) for s in seeds]
        self.device = device

    def uniform(self, *shape: int) -> Tensor:
        """(searches, *shape), in [0, 1)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """(searches, *shape), of mean 0 and variance 1."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)


class Parametrization(Protocol):
    """What a search optimizes. bounds: (low, high) of every parameter, or None. unit: the size of the paper's unit
    step here."""

    @property
    def bounds(self) -> tuple[Tensor, Tensor] | None: ...

    @property
    def unit(self) -> float: ...

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        """One start for each seed: (N, ...); the same seed starts at the same place whatever the others are.
        objectives: one a seed, for starts that depend on what is searched."""

    def images(self, parameters: Tensor) -> Tensor:
        """(N, ...) -> (N, 3, H, W) in image space, in [0, 1], differentiable."""

    def of(self, images: Tensor) -> Tensor:
        """The parameters that stand for images (N, 3, h, w) of any size, as nearly as can be."""
