"""Objectives: what an image should excite.

An objective is a sum of terms (dgn.am.objectives.terms); dgn.am.objectives.language parses expressions of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.terms import Direction, Match, Position, Product, Term, display_name, literal, number
from dgn.am.objectives.terms import factors as factors_of


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms that is maximized.

    Objectives can be added, subtracted, scaled and multiplied: `a + b`, `a - 0.5 * b`, `a * b`. `str` returns an
    expression that `parse_units` parses back.

    Args:
        terms: pairs (weight, term).
    """

    terms: tuple[tuple[float, Term], ...]

    def __str__(self) -> str:
        text = ""
        for weight, term in self.terms:
            plus = "+" if text else ""
            sign = "-" if weight < 0 else plus
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
            products = [(v * w, Product(factors_of(a) + factors_of(b))) for v, a in self.terms for w, b in other.terms]
            return Objective(tuple(products))
        return Objective(tuple((other * weight, term) for weight, term in self.terms))

    __rmul__ = __mul__

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(factor.layer for _, term in self.terms for factor in factors_of(term)))

    def values(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Returns this objective's value on N images, (N,), float32.

        Args:
            activations: {layer: (N, ...)} of the N images.
        """
        total: float | Tensor = 0.0
        for weight, term in self.terms:
            value: float | Tensor = weight
            for factor in factors_of(term):
                value = value * factor.values(activations[factor.layer].float())
            total = total + value
        assert isinstance(total, Tensor)  # there is at least one term
        return total

    @property
    def wanted(self) -> tuple[str, ...]:
        """The labels of the units with positive weight: what the preferred image should show."""
        labels = (factor.label for weight, term in self.terms if weight > 0 for factor in factors_of(term))
        return tuple(dict.fromkeys(filter(None, labels)))

    @property
    def label(self) -> str:
        """The labels of its units, joined as in the expression; a term without a label is written as it is."""
        text = ""
        for weight, term in self.terms:
            minus, plus = (" - ", " + ") if text else ("-", "")
            text += minus if weight < 0 else plus
            text += display_name(term) if abs(weight) == 1 else f"{abs(weight):g} {display_name(term)}"
        return text


def direction(layer: str, vector: Tensor, position: Position = None) -> Objective:
    """Returns the objective along a vector over a layer's units.

    Args:
        layer: the layer's name.
        vector: (units,).
        position: the position in a map or among tokens; None for a layer that is a vector.
    """
    vector = _plain(vector)
    return Objective(((1.0, Direction(layer, literal(vector), vector, position)),))


def match(layer: str, code: Tensor) -> Objective:
    """Returns the objective of matching a code, of the layer's shape, such as an image's activations."""
    code = _plain(code)
    return Objective(((1.0, Match(layer, literal(code), code)),))


def _plain(values: Tensor) -> Tensor:
    with torch.inference_mode(False):  # autograd rejects tensors made in inference mode
        return torch.as_tensor(values).detach().clone().float().cpu()
