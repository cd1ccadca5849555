"""One step of a search, as the parts of a method see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dgn.am.attempts import attempt_of
from dgn.am.objectives.algebra import Objective


@dataclass
class Step:
    """Step i of `steps`.

    Attributes:
        parametrization: what is optimized.
        parameters: (N, ...), its parameters.
        images: (N, 3, H, W), the images of the parameters before the step, attached to their graph.
        draws: the random numbers of the searches.
        i: the index of this step.
        steps: the number of steps of the stage.
        slope: (N, 3, H, W), the gradient of the objective alone with respect to the images.
    """

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
        """Returns the difference between the images and the zero image, on 0..255, (N, 3, H, W).

        The zero image is the parametrization's, or mid-grey if it has none. 0..255 is the scale of published methods
        on pixels. After the step, the images are those of the new parameters.
        """
        if isinstance(self.parametrization, PixelParametrization):
            return self.parameters / self.parametrization.unit
        images = self.images if self.parameters.requires_grad else self.parametrization.images(self.parameters)
        return (images - 0.5) * 255

    def repaint(self, pixels: Tensor) -> None:
        """Sets the parameters to those that represent these pixels."""
        if isinstance(self.parametrization, PixelParametrization):
            self.parameters.copy_(pixels * self.parametrization.unit)
        else:
            self.parameters.copy_(self.parametrization.encode((pixels / 255 + 0.5).clamp(0, 1)))


class Draws:
    """Random numbers for searches that run together.

    Each search has a separate generator, seeded by its seed, so that its numbers do not depend on the other searches
    in the batch.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        # A different stream from that of the starts, whose generators use the seed itself.
        # A generator uses the low 32 bits of its seed, where the attempt has to be.
        streams = [own * 0x9E3779B1 + attempt * 0x85EBCA6B + 0x7F4A7C15 for attempt, own in map(attempt_of, seeds)]
        self.generators = [torch.Generator().manual_seed(stream % 2**63) for stream in streams]
        self.device = device

    def uniform(self, *shape: int) -> Tensor:
        """Returns uniform numbers in [0, 1), (searches, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Returns normal numbers of mean 0 and variance 1, (searches, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

    def of_candidates(self, count: int) -> "Draws":
        """Returns the numbers of `count` candidates of each search, (searches * count, *shape), from its generator."""
        return _CandidateDraws(self, count)


class _CandidateDraws(Draws):
    def __init__(self, draws: Draws, count: int) -> None:
        self.generators, self.device, self._draws, self._count = draws.generators, draws.device, draws, count

    def uniform(self, *shape: int) -> Tensor:
        return self._draws.uniform(self._count, *shape).flatten(0, 1)

    def normal(self, *shape: int) -> Tensor:
        return self._draws.normal(self._count, *shape).flatten(0, 1)


class Bounds(Protocol):
    """Bounds that are not those of each parameter alone."""

    def clip(self, parameters: Tensor) -> None:
        """Moves parameters (N, ...) into the bounds, in place."""


class Parametrization(Protocol):
    """What a search optimizes.

    Attributes:
        bounds: (low, high) of every parameter; or an object whose `clip` moves parameters into the bounds, in place;
            or None.
        unit: the size, in parameters, of a step of 1 as the papers state it.
    """

    @property
    def bounds(self) -> "tuple[Tensor, Tensor] | Bounds | None": ...

    @property
    def unit(self) -> float: ...

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        """Returns one start for each seed, (N, ...). It depends on that seed alone, not on the others.

        Args:
            seeds: N seeds.
            objectives: one per seed, for starts that depend on the objective.
        """

    def images(self, parameters: Tensor) -> Tensor:
        """Maps parameters (N, ...) to images (N, 3, H, W) in image space, in [0, 1]; differentiable."""

    def encode(self, images: Tensor) -> Tensor:
        """Returns the parameters that best represent images (N, 3, h, w) of any size."""


@runtime_checkable
class PixelParametrization(Protocol):
    """A parametrization whose parameters are pixels.

    Attributes:
        zero: (1, 3, 1, 1), the image, in [0, 1], that parameters of zero stand for.
        unit: as in `Parametrization`.
    """

    zero: Tensor
    unit: float


@runtime_checkable
class View(Protocol):
    """A regularizer that changes what the target is shown."""

    def view(self, images: Tensor, step: Step) -> Tensor:
        """Returns what is shown instead of images (N, 3, H, W): (k * N, 3, h, w), k pictures of each image."""


@runtime_checkable
class Loss(Protocol):
    """A regularizer that is subtracted from the objective."""

    def loss(self, step: Step) -> Tensor:
        """Returns the loss of each search, (N,), differentiable with respect to `step.parameters`."""


@runtime_checkable
class GradientChange(Protocol):
    """A regularizer that changes the gradient which the update follows."""

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        """Returns the changed gradient, (N, ...), of the gradient so far, (N, ...)."""


@runtime_checkable
class Projection(Protocol):
    """A regularizer that changes the parameters after the step."""

    def project(self, step: Step) -> None:
        """Changes `step.parameters` in place, without a graph."""


Regularizer = View | Loss | GradientChange | Projection
"""What a step does in addition to following the gradient: any class with one or more of the four methods."""
