"""The codes that a generator of noise was trained on, for priors that have no encoder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.prior.statistics import UnitStatistics

DISTRIBUTIONS = ("normal", "uniform")


@dataclass(frozen=True)
class NoiseCodes:
    """Codes of noise, and of a class if the generator is class-conditional.

    Attributes:
        distribution: "normal": mean 0 and standard deviation 1; "uniform": in [-1, 1]. Of every unit of the noise.
        noise_shape: The shape of the noise.
        classes: The number of classes of which a code chooses one by the softmax of as many units; 0: none.
        vectors: (K, D), the class vectors of which a code holds one, after the noise; None: none.
    """

    distribution: str
    noise_shape: tuple[int, ...]
    classes: int = 0
    vectors: Tensor | None = None

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise UserError(f"--code {self.distribution}: give {' or '.join(DISTRIBUTIONS)}")
        if not self.noise_shape or min(self.noise_shape) < 1:
            raise UserError("--size: give the number of units of the noise, or its shape: --size 100x1x1")
        if self.classes == 1 or self.classes < 0 or (self.classes and self.vectors is not None):
            raise UserError("--classes: give their number, at least 2, or --class-vectors, but not both")

    @property
    def class_units(self) -> int:
        """The number of a code's units that choose the class."""
        return self.classes if self.vectors is None else int(self.vectors.shape[1])

    @property
    def code_shape(self) -> tuple[int, ...]:
        """The shape of a code: that of the noise, or (units,) with the units of the class after those of the noise."""
        if not self.class_units:
            return self.noise_shape
        return (math.prod(self.noise_shape) + self.class_units,)

    @property
    def class_strength(self) -> float:
        """The unit of the chosen class, where the others are 0, at which the softmax gives that class 99%."""
        return math.log(99 * max(self.classes - 1, 1))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws codes (count, *code_shape), each with one class drawn evenly. The generator is on the CPU."""
        shape = (count, *self.noise_shape)
        if self.distribution == "normal":
            noise = torch.randn(shape, generator=generator)
        else:
            noise = 2 * torch.rand(shape, generator=generator) - 1
        if not self.class_units:
            return noise
        known = self.classes if self.vectors is None else len(self.vectors)
        chosen = torch.randint(known, (count,), generator=generator)
        if self.vectors is None:
            classes = self.class_strength * torch.nn.functional.one_hot(chosen, self.classes).float()
        else:
            classes = self.vectors.cpu()[chosen]
        return torch.cat([noise.flatten(1), classes], dim=1)

    def statistics(self) -> UnitStatistics:
        """Returns statistics of which the bounds at 3 sigma hold every code; nothing is measured, and count is 0.

        Of normal noise they are -3 .. 3, of uniform noise -1 .. 1. The units of classes may lie up to the strength of
        a chosen class on both sides; those of class vectors are measured over the vectors.
        """
        mean = torch.zeros(self.noise_shape)
        std = torch.ones(self.noise_shape) if self.distribution == "normal" else torch.full(self.noise_shape, 1 / 3)
        if self.vectors is not None:
            mean = torch.cat([mean.flatten(), self.vectors.mean(0)])
            std = torch.cat([std.flatten(), self.vectors.std(0, correction=0)])
        elif self.classes:
            mean = torch.zeros(self.code_shape)
            std = torch.cat([std.flatten(), torch.full((self.classes,), self.class_strength / 3)])
        return UnitStatistics(mean, std, mean - 3 * std, mean + 3 * std, 0)

    def spec(self) -> dict[str, Any]:
        """Returns plain values for a prior file's header."""
        return {"distribution": self.distribution, "noise_shape": list(self.noise_shape), "classes": self.classes}

    def tensors(self) -> dict[str, Tensor]:
        """Returns {name: tensor} for a prior file."""
        return {} if self.vectors is None else {"vectors": self.vectors}


def read_noise(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], code_shape: Sequence[int]
) -> NoiseCodes | None:
    """Reads the noise of a prior file; None if it has none.

    Raises:
        KeyError, TypeError, ValueError, UserError: If it does not describe codes of that shape.
    """
    if "noise" not in header:
        return None
    given = dict(header["noise"])
    shape = tuple(int(n) for n in given["noise_shape"])
    vectors = tensors.get("noise.vectors")
    if vectors is not None and (vectors.ndim != 2 or not vectors.is_floating_point() or len(vectors) < 1):
        raise ValueError("noise.vectors is no table of class vectors")
    noise = NoiseCodes(str(given["distribution"]), shape, int(given["classes"]), vectors)
    if noise.code_shape != tuple(code_shape):
        raise ValueError(f"its noise has codes of {noise.code_shape}, its generator of {tuple(code_shape)}")
    return noise
