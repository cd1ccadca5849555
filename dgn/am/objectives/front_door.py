"""Objectives in Python, as the unit language has them in text: `0.2 * channel("conv5", 12) + unit("fc8", 3)`."""

from collections.abc import Callable

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.functions import Function
from dgn.am.objectives.levels import Level
from dgn.am.objectives.terms import Dream, Position, Unit
from dgn.networks.featurenet import IMAGES


def unit(layer: str, index: int, position: Position = None) -> Objective:
    """One unit of a layer: `fc8:3`.

    Args:
        layer: The layer's name in the target.
        index: Which unit of a vector, channel of a map, or feature of tokens.
        position: (row, column) in a map, (token,) among tokens, or "mean" over all positions. None: the centre of a
            map; a vector has no positions.
    """
    return Objective(((1.0, Unit(layer, index, position)),))


def channel(layer: str, index: int) -> Objective:
    """A channel of a map, or a feature of tokens, averaged over all positions: `conv5:12@mean` (Olah et al. 2017)."""
    return unit(layer, index, "mean")


def level(layer: str, index: int, value: float, position: Position = None) -> Objective:
    """A unit driven to a value: `level(fc8:3,2.5)`, minus the distance of its activation to that."""
    return Objective(((1.0, Level(Unit(layer, index, position), value)),))


def function(compute: Callable[[Tensor], Tensor], layer: str = IMAGES) -> Objective:
    """What a Python function computes from a layer's activations, or from the images: `function(fc6,mine.py:f)`.

    Args:
        compute: Takes activations (N, ...), or images (N, 3, H, W) in [0, 1]; returns values (N,).
        layer: The layer's name; "images" for the images themselves.
    """
    name = f"{getattr(compute, '__module__', '')}:{getattr(compute, '__qualname__', repr(compute))}"
    return Objective(((1.0, Function(layer, name, compute)),))


def dream(layer: str) -> Objective:
    """A whole layer, whatever its units: `dream(conv4)`, the mean square of its activations (DeepDream)."""
    return Objective(((1.0, Dream(layer)),))
