"""Objectives: what an image should excite. Units, channels over a map, and weighted sums of them.

The unit language, one objective:

    fc8:3                   unit 3 of layer fc8
    fc8:house               the unit of that label
    fc8:0-9   fc8:all       each of these units, one objective each
    conv5:12                channel 12 of a map at its centre (Nguyen et al. 2016: 6,6 of 13x13)
    conv5:12@4,4            at row 4, column 4
    conv5:12@mean           averaged over the map
    fc8:house+0.5*fc8:boat  a weighted sum, also across layers

For tokens (ViT, Swin) a unit is a feature; `@k` is token k, and without it the mean over tokens.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

Position = tuple[int, ...] | str | None
"""(row, column) of a map, (token,), "mean", or None for a vector's units, which have no position."""


@dataclass(frozen=True)
class Unit:
    """One unit: of a layer, a channel (or feature), at a position. label: its name, where the network has one."""

    layer: str
    index: int
    position: Position = None
    label: str = ""

    def __str__(self) -> str:
        return f"{self.layer}:{self.short}"

    @property
    def short(self) -> str:
        """The unit without its layer: `3`, `12@4,4`, `12@mean`."""
        if self.position is None:
            return str(self.index)
        at = self.position if isinstance(self.position, str) else ",".join(map(str, self.position))
        return f"{self.index}@{at}"

    def of(self, activations: Tensor) -> Tensor:
        """activations: (N, ...) of its layer -> the unit's (N,)."""
        if activations.ndim == 3:  # tokens
            found = activations[..., self.index]
            return found.mean(1) if self.position == "mean" else found[:, self.position[0]]
        found = activations[:, self.index]
        if self.position == "mean":
            return found.mean((1, 2))
        return found[(slice(None), *self.position)] if self.position else found


@dataclass(frozen=True)
class Objective:
    """A weighted sum of units' activations, to be as large as can be. Objectives add and scale:
    `a + b`, `0.5 * a`. `str` gives an expression that `parse_units` reads back."""

    terms: tuple[tuple[float, Unit], ...]

    def __str__(self) -> str:
        return "+".join(str(unit) if weight == 1 else f"{weight:g}*{unit}" for weight, unit in self.terms)

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(self.terms + other.terms)

    def __mul__(self, factor: float) -> "Objective":
        return Objective(tuple((factor * weight, unit) for weight, unit in self.terms))

    __rmul__ = __mul__

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(unit.layer for _, unit in self.terms))

    def values(self, activations: Mapping[str, Tensor]) -> Tensor:
        """activations: {layer: (N, ...)} of N images -> this objective's value on each (N,), float32."""
        return sum(weight * unit.of(activations[unit.layer].float()) for weight, unit in self.terms)

    @property
    def label(self) -> str:
        """The labels of its units, joined as the expression joins them; the expression where there are none."""
        parts = [(weight, unit.label or str(unit)) for weight, unit in self.terms]
        return " + ".join(name if weight == 1 else f"{weight:g} {name}" for weight, name in parts)


def parse_units(units: str | Sequence[str | int], target: FeatureNet) -> list[Objective]:
    """The objectives that a list in the unit language names, in order, for this network.

    Raises UserError for what cannot be read, an unknown layer or label, a unit or position out of range."""
    text = units if isinstance(units, str) else ",".join(map(str, units))
    # A comma separates expressions, but for the one between the row and the column of a position.
    items = [item.strip() for item in re.findall(r"(?:@\d+,\d+|[^,])+", text)]
    objectives = [objective for item in items if item for objective in _parse_item(item, target)]
    if not objectives:
        raise UserError("units names none; give for example units=fc8:all, units=[fc8:3,fc8:house] or units=conv5:12")
    return objectives


class Evaluation:
    """The values of many images' objectives at once: image n has objective n.

    One gather for each layer, however many units; nothing loops over units."""

    def __init__(self, objectives: Sequence[Objective], target: FeatureNet, device: torch.device | str = "cpu") -> None:
        self.count = len(objectives)
        self.layers = tuple(dict.fromkeys(layer for o in objectives for layer in o.layers))
        grouped: dict[tuple[str, bool], list[tuple[int, float, Unit]]] = {}
        for row, objective in enumerate(objectives):
            for weight, unit in objective.terms:
                grouped.setdefault((unit.layer, unit.position == "mean"), []).append((row, weight, unit))
        self._gathers = []
        for (layer, mean), entries in grouped.items():
            rows = torch.tensor([row for row, _, _ in entries], device=device)
            weights = torch.tensor([weight for _, weight, _ in entries], device=device)
            channels = torch.tensor([unit.index for _, _, unit in entries], device=device)
            places = [() if mean else unit.position or () for _, _, unit in entries]
            positions = [torch.tensor(axis, device=device) for axis in zip(*places, strict=True)]
            tokens = len(target.layer(layer).shape) == 2
            index = [rows, *positions, channels] if tokens and not mean else [rows, channels, *positions]
            self._gathers.append((layer, mean, tokens, rows, weights, index))

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """activations: {layer: (N, ...)} of N images -> the value of each image's objective (N,), float32."""
        values = None
        for layer, mean, tokens, rows, weights, index in self._gathers:
            found = activations[layer].float()
            if mean:
                found = found.mean(1) if tokens else found.mean((2, 3))
            part = torch.zeros(self.count, device=found.device).index_add(0, rows, weights * found[tuple(index)])
            values = part if values is None else values + part
        return values


def _parse_item(item: str, target: FeatureNet) -> Iterable[Objective]:
    terms = [term.strip() for term in item.split("+")]
    if len(terms) == 1 and "*" not in item:
        return [Objective(((1.0, unit),)) for unit in _parse_term(item, target)]
    total: list[tuple[float, Unit]] = []
    for term in terms:
        factor, star, name = term.rpartition("*")
        try:
            weight = float(factor) if star else 1.0
        except ValueError:
            raise UserError(f"units: {factor!r} in {item!r} is not a number; write for example 0.5*fc8:3") from None
        units = _parse_term(name.strip(), target)
        if len(units) != 1:
            raise UserError(f"units: {name!r} in the sum {item!r} names {len(units)} units; a sum takes one at a time")
        total.append((weight, units[0]))
    return [Objective(tuple(total))]


def _parse_term(term: str, target: FeatureNet) -> list[Unit]:
    layer, colon, rest = term.rpartition(":")
    if not colon or not layer or not rest:
        raise UserError(f"units: {term!r} names no unit; write LAYER:UNIT, for example fc8:3, fc8:all or conv5:12@4,4")
    shape = target.layer(layer).shape
    labels = target.labels_of(layer)
    if rest.strip().lower() in {_plain(name) for name in labels}:  # a label may hold an @
        name, place = rest, ""
    else:
        name, _, place = rest.partition("@")
    position = _position(place.strip(), shape, term)
    count = target.layer(layer).units
    return [
        Unit(layer, index, position, labels[index] if labels else "")
        for index in _indices(name.strip(), count, labels, term, layer)
    ]


def _indices(name: str, count: int, labels: Sequence[str], term: str, layer: str) -> Sequence[int]:
    named = [i for i, label in enumerate(labels) if _plain(label) == _plain(name)]
    if named:
        return named[:1]
    if name == "all":
        return range(count)
    if match := re.fullmatch(r"(\d+)(?:-(\d+))?", name):
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise UserError(f"units: {term!r} counts down; write {layer}:{last}-{first}")
        if last >= count:
            raise UserError(f"units: {layer} has no unit {last}; its {count} units are 0 .. {count - 1}")
        return range(first, last + 1)
    if labels:
        few = ", ".join(labels[:40]) + (", ..." if len(labels) > 40 else "")
        raise UserError(f"units: {layer} has no unit {name!r}; its labels: {few}; or a number 0 .. {count - 1}, or all")
    raise UserError(f"units: {layer} has no unit {name!r}; it has no labels: give a number 0 .. {count - 1}, or all")


def _position(place: str, shape: tuple[int, ...], term: str) -> Position:
    sides = {1: (), 2: shape[:1], 3: shape[1:]}.get(len(shape))
    if sides is None:
        raise UserError(f"units: the layer of {term!r} has activations of shape {shape}; units need vectors or maps")
    if not sides:
        if place:
            raise UserError(f"units: {term!r} gives a position, but the layer is a vector of {shape[0]} units")
        return None
    if place == "mean" or (not place and len(sides) == 1):
        return "mean"
    if not place:
        return tuple(side // 2 for side in sides)
    if not re.fullmatch(r"\d+(,\d+)*", place) or len(place.split(",")) != len(sides):
        form = "@row,column" if len(sides) == 2 else "@token"
        raise UserError(f"units: position {place!r} in {term!r} cannot be read; write {form} or @mean")
    position = tuple(int(n) for n in place.split(","))
    if any(n >= side for n, side in zip(position, sides, strict=True)):
        size = "x".join(map(str, sides))
        raise UserError(f"units: position {place} in {term!r} is outside the layer's {size} (counted from 0)")
    return position


def _plain(label: str) -> str:
    return label.strip().lower().replace("_", " ")
