"""Objectives in Python, as the unit language has them in text: `0.2 * channel("conv5", 12) + unit("fc8", 3)`."""

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Dream, Position, Unit


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


def dream(layer: str) -> Objective:
    """A whole layer, whatever its units: `dream(conv4)`, the mean square of its activations (DeepDream)."""
    return Objective(((1.0, Dream(layer)),))
