"""Objectives: which units an image should excite, how they are combined and written, and how a search reads them."""

from dgn.am.objectives.algebra import Objective, direction, match
from dgn.am.objectives.diversity import Diversity
from dgn.am.objectives.front_door import channel, dream, function, level, unit
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.surrogates import below_rectifier, log_probability, probability
from dgn.am.objectives.terms import Unit

__all__ = [
    "Diversity",
    "Objective",
    "Unit",
    "below_rectifier",
    "channel",
    "direction",
    "dream",
    "function",
    "level",
    "log_probability",
    "match",
    "parse_units",
    "probability",
    "unit",
]
