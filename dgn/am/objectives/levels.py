"""A unit that is driven to a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.terms import Reader, Unit, number


@dataclass(frozen=True)
class Level:
    """A unit driven to a value: minus the distance of its activation to that, 0 where it is reached.

    Attributes:
        unit: the unit.
        value: the activation that is wanted.
    """

    unit: Unit
    value: float
    label = ""

    def __str__(self) -> str:
        return f"level({self.unit},{number(self.value)})"

    @property
    def layer(self) -> str:
        """The unit's layer."""
        return self.unit.layer

    @property
    def short(self) -> str:
        """The term without its layer: `level(3,2.5)`."""
        return f"level({self.unit.short},{number(self.value)})"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), *self.unit.group

    def values(self, activations: Tensor) -> Tensor:
        """Returns the term's value on N images, (N,), from its layer's activations (N, ...)."""
        return -(self.unit.values(activations) - self.value).abs()

    @staticmethod
    def reader(levels: Sequence["Level"], rows: Tensor) -> Reader:
        """Returns a reader of levels of one group: level k on image rows[k]."""
        read = Unit.reader([level.unit for level in levels], rows)
        wanted = torch.tensor([level.value for level in levels], device=rows.device)
        return lambda activations: -(read(activations) - wanted).abs()
