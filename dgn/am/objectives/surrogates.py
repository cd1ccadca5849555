"""How an objective is read during the search, which may differ from how it is reported at the end.

Each reading is a function (objective, target) -> objective; a method's `objective` names one.
"""

from dataclasses import replace

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.levels import Level
from dgn.am.objectives.terms import Term, Unit
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

CLASS_LOG_PROBABILITY = "log_softmax"
"""The reading of a class unit as the logarithm of its probability."""


def below_rectifier(objective: Objective, target: FeatureNet) -> Objective:
    """Reads units with positive weight before their ReLU, which could block their gradient.

    DGN-AM's published search starts its backward pass there. Units with negative weight are unchanged: lowering them
    below zero changes nothing after the ReLU.
    """

    def reading(weight: float, term: Term) -> Term:
        if isinstance(term, Unit) and not term.reading and weight > 0:
            return replace(term, layer=target.before_rectifier(term.layer))
        if isinstance(term, Level) and not term.unit.reading and weight > 0 and term.value >= 0:
            return replace(term, unit=replace(term.unit, layer=target.before_rectifier(term.layer)))
        return term

    return Objective(tuple((weight, reading(weight, term)) for weight, term in objective.terms))


def probability(objective: Objective, target: FeatureNet) -> Objective:
    """Reads class units as their probability, and others like `below_rectifier`."""
    return below_rectifier(_classes_as("softmax", objective, target), target)


def log_probability(objective: Objective, target: FeatureNet) -> Objective:
    """Reads class units as the logarithm of their probability, and others like `below_rectifier`."""
    return below_rectifier(_classes_as(CLASS_LOG_PROBABILITY, objective, target), target)


def is_log_probability(term: Term) -> bool:
    """Returns whether a term is what `log_probability` reads a class unit as."""
    return isinstance(term, Unit) and term.reading == CLASS_LOG_PROBABILITY


def _classes_as(reading: str, objective: Objective, target: FeatureNet) -> Objective:
    try:
        classes = target.class_layer()
    except UserError:
        return objective

    def read(term: Term) -> Term:
        if isinstance(term, Unit) and not term.reading and target.layer(term.layer).name == classes:
            return replace(term, reading=reading)
        return term

    return Objective(tuple((weight, read(term)) for weight, term in objective.terms))
