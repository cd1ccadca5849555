"""The unit language: how objectives are written.

One objective:

    fc8:3                     unit 3 of layer fc8
    fc8:house  fc8:'a, b'     the unit with that label; quote labels that contain special characters
    fc8:0-9    fc8:all        each of these units, one objective each
    conv5:12                  channel 12 of a map at its centre (Nguyen et al. 2016: 6,6 of 13x13)
    conv5:12@4,4              at row 4, column 4
    conv5:12@mean             averaged over the map
    softmax(fc8:house)        its probability among the layer's units; log_softmax(...): the logarithm of it
    direction(fc6,v.npy)      along a vector over the layer's units; or written out: direction(fc6,{3:0.5,7:-1});
                              in a map, followed by @4,4 or @mean
    dream(conv4)              the whole layer: the mean square of its activations
    match(fc6,photo.jpg)      match the code of that image (or of an .npy file, or written out)
    sum(conv5:0-31@mean)      the sum of these units
    level(fc8:3,2.5)          drive it to that value: minus the distance of the activation to it
    region(conv5:12,mask.png) a channel averaged over a region: white in the mask, which is resized to the map
    function(fc6,mine.py:f)   f(activations of the layer) -> (N,); function(images,mine.py:f): of the images
    sae(FILE,layer=conv5):12  latent 12 of a sparse autoencoder of conv5; without layer=, of what FILE says it reads
    dict(FILE,layer=conv5):3  atom 3 of a plain dictionary (PCA, NMF, directions), or unit 3 of a linear probe

Combinations of these with + - * and parentheses, also across layers:

    fc8:house+0.5*fc8:boat    (fc8:cat-fc8:dog)*2    softmax(fc8:cat)*dream(conv4)

Layers of further networks (targets.b) have their name before them: fc8:3-b/fc8:3.

For tokens (ViT, Swin) a unit is a feature; `@k` is token k; the default is the mean over tokens.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.arguments import Arguments
from dgn.am.objectives.functions import Function
from dgn.am.objectives.levels import Level
from dgn.am.objectives.regions import Region
from dgn.am.objectives.terms import (
    READINGS,
    Direction,
    Dream,
    Match,
    Product,
    Simple,
    Term,
    Unit,
    factors,
    number,
)
from dgn.errors import UserError
from dgn.networks.custom import named_function
from dgn.networks.featurenet import FeatureNet


def parse_units(units: str | Sequence[str | int], target: FeatureNet) -> list[Objective]:
    """Parses a list in the unit language into objectives of this network, in order.

    Args:
        units: the expression, or a sequence of expressions.
        target: the network whose units are named.

    Raises:
        UserError: for a syntax error, an unknown layer or label, or a unit or position out of range. The message
            says where in the expression.
    """
    if not isinstance(units, str) and not isinstance(units, Sequence):
        raise UserError(f"units={units}: give expressions such as fc8:3, or a list of them")
    text = units if isinstance(units, str) else ",".join(map(str, units))
    objectives = _Parser(text, target).whole()
    if not objectives:
        raise UserError("units names none; give for example units=fc8:all, units=[fc8:3,fc8:house] or units=conv5:12")
    return objectives


def as_objectives(units: str | Objective | Sequence[str | Objective], target: FeatureNet) -> list[Objective]:
    """Returns objectives, parsing expressions in the unit language for this network.

    Units of an objective without position and label get those that the unit language gives them: the centre of a map
    and the class's name.

    Raises:
        UserError: for layers and units that the network does not have.
    """
    objectives: list[Objective] = []
    for unit in [units] if isinstance(units, str | Objective) else units:
        if isinstance(unit, Objective):
            terms = tuple((weight, _completed(term, target)) for weight, term in unit.terms)
            objectives.append(Objective(terms))
        else:
            objectives += parse_units(str(unit), target)
    return objectives


def _completed(term: Term, target: FeatureNet) -> Term:
    if isinstance(term, Product):
        return Product(tuple(_completed_factor(factor, target) for factor in term.factors))
    return _completed_factor(term, target)


def _completed_factor(term: Simple, target: FeatureNet) -> Simple:
    if isinstance(term, Level) and term.unit.position is None:
        return replace(term, unit=replace(_completed_unit(term.unit, target), label=""))
    return _completed_unit(term, target)


def _completed_unit(term: Any, target: FeatureNet) -> Any:
    if not isinstance(term, Unit) or term.position is not None or term.label:
        return term
    (objective,) = parse_units(str(term), target)
    return factors(objective.terms[0][1])[0]


_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?=\s*(?:[-+*,)]|$))")


class _Parser(Arguments):
    """Recursive descent. An expression is a number or a list of objectives (`fc8:0-3` is four)."""

    def __init__(self, text: str, target: FeatureNet) -> None:
        super().__init__(text, target)
        self.calls: dict[str, Callable[[int], list[Objective]]] = {
            "sum": self._sum,
            "direction": self._direction,
            "dream": self._dream,
            "match": self._match,
            "level": self._level,
            "region": self._region,
            "function": self._function,
            **{reading: partial(self._reading, reading) for reading in READINGS},
        }

    def whole(self) -> list[Objective]:
        try:
            objectives = self._list()
        except RecursionError:
            self._fail("this is nested too deeply", self.at)
        if not self._ended():
            self._fail(f"{self.text[self.at]!r} is not expected here", self.at)
        return objectives

    def _list(self) -> list[Objective]:
        objectives: list[Objective] = []
        while not self._ended() and self._peek() != ")":
            if not self._take(","):
                start = self.at
                objectives += self._objectives(self._expression(), start)
                if not self._ended() and self._peek() not in ",)":
                    self._fail(f"{self.text[self.at]!r} is not expected here", self.at)
        return objectives

    def _expression(self) -> float | list[Objective]:
        start = self._here()
        total = self._product()
        while sign := self._take("+") or self._take("-"):
            after = self._here()
            right = self._single(self._objectives(self._product(), after), after)
            total = [self._single(self._objectives(total, start), start) + (right if sign == "+" else -right)]
        return total

    def _product(self) -> float | list[Objective]:
        start = self._here()
        total = self._factor()
        while self._take("*"):
            after = self._here()
            right = self._factor()
            if not isinstance(total, float) and not isinstance(right, float):
                total = [self._single(total, start) * self._single(right, after)]
            elif isinstance(total, float) and isinstance(right, float):
                total = total * right
            elif isinstance(total, float) and not isinstance(right, float):
                total = [total * objective for objective in right]
            elif isinstance(right, float) and not isinstance(total, float):
                total = [right * objective for objective in total]
        return total

    def _factor(self) -> float | list[Objective]:
        start = self._here()
        if self._take("-"):
            value = self._factor()
            return -value if isinstance(value, float) else [-objective for objective in value]
        if self._take("+"):
            return self._factor()
        if self._take("("):
            value = self._expression()
            self._expect(")", start)
            return value
        if match := _NUMBER.match(self.text, self.at):
            self.at = match.end()
            return float(match[0])
        if (match := re.compile(r"(\w+)\s*\(").match(self.text, self.at)) and match[1] in self.calls:
            self.at = match.end()
            value = self.calls[match[1]](start)
            self._expect(")", start)
            return self._placed(value) if match[1] == "direction" else value
        return [Objective(((1.0, unit),)) for unit in self._units()]

    def _objectives(self, value: float | list[Objective], start: int) -> list[Objective]:
        if isinstance(value, float):
            self._fail(f"the number {number(value)} stands alone: write for example {number(value)}*fc8:3", start)
        return value

    def _single(self, objectives: list[Objective], start: int) -> Objective:
        if len(objectives) != 1:
            count = len(objectives)
            self._fail(f"this names {count} units; + - * take one at a time, sum(...) adds them up", start)
        return objectives[0]

    # Functions of the unit language

    def _reading(self, reading: str, start: int) -> list[Objective]:
        objectives = []
        for objective in self._list():
            ((weight, unit), *more) = objective.terms
            if more or weight != 1 or not isinstance(unit, Unit) or unit.reading:
                self._fail(f"{reading}(...) takes a unit, and {objective} is none", start)
            objectives.append(Objective(((1.0, replace(unit, reading=reading)),)))
        return objectives or self._fail(f"{reading}(...) holds no unit; write for example {reading}(fc8:3)", start)

    def _sum(self, start: int) -> list[Objective]:
        terms = tuple(term for objective in self._list() for term in objective.terms)
        return [Objective(terms)] if terms else self._fail("sum(...) holds no unit", start)

    def _dream(self, start: int) -> list[Objective]:
        return [Objective(((1.0, Dream(self._layer_argument()[0])),))]

    def _direction(self, start: int) -> list[Objective]:
        layer, shape = self._layer_argument()
        self._position("", shape, start)  # the layer must have units
        source, values = self._source((self.target.layer(layer).units,), layer, start)
        return [Objective(((1.0, Direction(layer, source, values)),))]

    def _placed(self, value: list[Objective]) -> list[Objective]:
        start = self.at
        term = value[0].terms[0][1]
        assert isinstance(term, Direction)
        place = self._place()
        position = self._position(place, self.target.layer(term.layer).shape, start)
        return [Objective(((1.0, replace(term, position=position)),))]

    def _level(self, start: int) -> list[Objective]:
        units = self._objectives(self._expression(), start)
        self._expect(",", start)
        value = self._number_argument()
        levels = []
        for objective in units:
            ((weight, unit), *more) = objective.terms
            if more or weight != 1 or not isinstance(unit, Unit):
                self._fail(f"level(...) takes a unit and a value, and {objective} is no unit", start)
            levels.append(Objective(((1.0, Level(replace(unit, label=""), value)),)))
        return levels

    def _region(self, start: int) -> list[Objective]:
        units = self._units()
        shape = self._shape(units[0].layer, start)
        if len(shape) != 3:
            self._fail(f"region(...) takes channels of a map, and {units[0].layer} has activations of {shape}", start)
        source, mask = self._mask_argument(shape[1:], start)
        return [Objective(((1.0, Region(unit.layer, unit.index, source, mask)),)) for unit in units]

    def _function(self, start: int) -> list[Objective]:
        layer, _ = self._layer_argument()
        self._expect(",", start)
        begins = self._here()
        source = self._path()
        try:
            function = named_function(source, "function")
        except UserError as error:
            self._fail(str(error), begins)
        return [Objective(((1.0, Function(layer, source, function)),))]

    def _match(self, start: int) -> list[Objective]:
        layer, shape = self._layer_argument()
        source, values = self._source(shape, layer, start)
        if not values.any():
            self._fail(f"the code of {source} in {layer} is zero everywhere: there is nothing to match", start)
        return [Objective(((1.0, Match(layer, source, values)),))]
