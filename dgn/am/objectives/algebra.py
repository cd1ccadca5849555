"""Objectives: what an image should excite. Sums of terms (dgn.am.objectives.terms), which dgn.am.objectives.language
reads and writes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.terms import Direction, Match, Position, Product, Term, literal, name_of, number
from dgn.am.objectives.terms import factors as factors_of


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms, to be as large as can be. Objectives add, subtract, scale and multiply:
    `a + b`, `a - 0.5 * b`, `a * b`. `str` gives an expression that `parse_units` reads back."""

    terms: tuple[tuple[float, Term], ...]

    def __str__(self) -> str:
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+" if text else ""
            text += sign + (str(term) if abs(weight) == 1 else f"{number(abs(weight))}*{term}")
        return text

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(self.terms + other.terms)

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -other

    def __neg__(self) -> "Objective":
        return -1.0 * self

    def __mul__(self, other: "float | Objective") -> "Objective":
        if isinstance(other, Objective):
            pairs = [(v * w, Product(factors_of(a) + factors_of(b))) for v, a in self.terms for w, b in other.terms]
            return Objective(tuple(pairs))
        return Objective(tuple((other * weight, term) for weight, term in self.terms))

    __rmul__ = __mul__

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(factor.layer for _, term in self.terms for factor in factors_of(term)))

    def values(self, activations: Mapping[str, Tensor]) -> Tensor:
        """activations: {layer: (N, ...)} of N images -> this objective's value on each (N,), float32."""
        total: float | Tensor = 0.0
        for weight, term in self.terms:
            value: float | Tensor = weight
            for factor in factors_of(term):
                value = value * factor.of(activations[factor.layer].float())
            total = total + value
        assert isinstance(total, Tensor)  # there is at least one term
        return total

    @property
    def wanted(self) -> tuple[str, ...]:
        """The labels of the units that it is to raise: what its image should show."""
        labels = (factor.label for weight, term in self.terms if weight > 0 for factor in factors_of(term))
        return tuple(dict.fromkeys(filter(None, labels)))

    @property
    def label(self) -> str:
        """The labels of its units, joined as the expression joins them; the expression where there are none."""
        text = ""
        for weight, term in self.terms:
            sign = (" - " if weight < 0 else " + ") if text else "-" if weight < 0 else ""
            text += sign + (name_of(term) if abs(weight) == 1 else f"{abs(weight):g} {name_of(term)}")
        return text


def direction(layer: str, vector: Tensor, position: Position = None) -> Objective:
    """Along a vector (units,) over a layer's units; position: in a map or among tokens."""
    vector = _plain(vector)
    return Objective(((1.0, Direction(layer, literal(vector), vector, position)),))


def match(layer: str, code: Tensor) -> Objective:
    """The code (*layer shape) of an image, to be met."""
    code = _plain(code)
    return Objective(((1.0, Match(layer, literal(code), code)),))


def _plain(values: Tensor) -> Tensor:
    with torch.inference_mode(False):  # autograd takes no tensor that was made under it
        return torch.as_tensor(values).detach().clone().float().cpu()
