"""The terms of an objective: a unit, a direction over a layer's units, a whole layer, a code to match.

A term reads one layer's activations. `values` returns its value on every image. Further kinds of terms are in
dgn.am.objectives.levels, regions and functions. `reader` evaluates many terms of one
kind, each on its own image, in a constant number of tensor operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.networks.named_networks import SEPARATOR
from dgn.networks.quoting import quoted

Position = tuple[int, ...] | str | None
"""(row, column) of a map, (token,), "mean", or None for a vector's units, which have no position."""

READINGS: dict[str, Callable[..., Tensor]] = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
"""Alternatives to a unit's activation: its probability among the layer's units, or the log of it."""

Reader = Callable[[Tensor], Tensor]
"""activations (N, ...) of a layer -> (terms,)."""


@dataclass(frozen=True)
class Unit:
    """One unit of a layer: a channel or feature, at a position.

    Attributes:
        layer: the layer's name.
        index: the channel, feature or class, from 0.
        position: where in a map or among tokens; see `Position`.
        label: the unit's name, if the network has one.
        reading: "" (its activation) or one of READINGS.
    """

    layer: str
    index: int
    position: Position = None
    label: str = field(default="", compare=False)
    reading: str = ""

    def __str__(self) -> str:
        unit = f"{self.layer}:{self.index}{_at(self.position)}"
        return f"{self.reading}({unit})" if self.reading else unit

    @property
    def short(self) -> str:
        """The unit without its layer: `3`, `12@4,4`, `12@mean`, `softmax(3)`."""
        unit = f"{self.index}{_at(self.position)}"
        return f"{self.reading}({unit})" if self.reading else unit

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer, self.reading, self.position == "mean"

    def values(self, activations: Tensor) -> Tensor:
        """Returns the unit's value on N images, (N,), from its layer's activations (N, ...)."""
        rows = torch.arange(len(activations), device=activations.device)
        return _read(activations, rows, [self.position] * len(rows), self.reading)[:, self.index]

    @staticmethod
    def reader(units: Sequence["Unit"], rows: Tensor) -> Reader:
        """Returns a reader of units of one group: unit k on image rows[k]."""
        reading, positions = units[0].reading, _stacked([unit.position for unit in units], rows)
        columns = torch.tensor([unit.index for unit in units], device=rows.device)
        entries = torch.arange(len(units), device=rows.device)
        return lambda activations: _read(activations, rows, positions, reading)[entries, columns]


@dataclass(frozen=True)
class Direction:
    """The inner product of a vector and a layer's units (Olah et al. 2017), at a position of a map.

    Attributes:
        layer: the layer's name.
        source: the vector in the unit language: the path of an .npy file, or `{unit:weight,...}`.
        vector: (units,).
        position: where in a map or among tokens; see `Position`.
    """

    layer: str
    source: str
    vector: Tensor = field(compare=False, repr=False)
    position: Position = None
    label = ""

    def __str__(self) -> str:
        return f"direction({self.layer},{quoted(self.source)}){_at(self.position)}"

    @property
    def short(self) -> str:
        return f"direction({quoted(self.source)}){_at(self.position)}"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer, self.position == "mean"

    def values(self, activations: Tensor) -> Tensor:
        rows = torch.arange(len(activations), device=activations.device)
        return _read(activations, rows, [self.position] * len(rows)) @ self.vector.to(activations.device)

    @staticmethod
    def reader(directions: Sequence["Direction"], rows: Tensor) -> Reader:
        positions = _stacked([direction.position for direction in directions], rows)
        vectors = torch.stack([direction.vector for direction in directions]).to(rows.device)
        return lambda activations: (_read(activations, rows, positions) * vectors).sum(1)


@dataclass(frozen=True)
class Dream:
    """A whole layer: the mean square of its activations (DeepDream, Mordvintsev et al. 2015)."""

    layer: str
    label = ""

    def __str__(self) -> str:
        return f"dream({self.layer})"

    @property
    def short(self) -> str:
        return "dream"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer

    def values(self, activations: Tensor) -> Tensor:
        return activations.flatten(1).square().mean(1)

    @staticmethod
    def reader(dreams: Sequence["Dream"], rows: Tensor) -> Reader:
        return lambda activations: activations[rows].flatten(1).square().mean(1)


@dataclass(frozen=True)
class Match:
    """A code to match, which reconstructs its image (inversion; Mahendran & Vedaldi 2015, eq. 1 and 2).

    The value is -|a - code|^2 / |code|^2: 0 for an exact match, -1 for zero activations.

    Attributes:
        layer: the layer's name.
        source: the path of the image whose code it is, or of an .npy file, or `{unit:activation,...}` over the
            flattened activations of the layer.
        code: the values to match, of the layer's shape.
    """

    layer: str
    source: str
    code: Tensor = field(compare=False, repr=False)
    label = ""

    def __str__(self) -> str:
        return f"match({self.layer},{quoted(self.source)})"

    @property
    def short(self) -> str:
        return f"match({quoted(self.source)})"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer

    def values(self, activations: Tensor) -> Tensor:
        return _nearness(activations, self.code.to(activations.device)[None])

    @staticmethod
    def reader(matches: Sequence["Match"], rows: Tensor) -> Reader:
        codes = torch.stack([match.code for match in matches]).to(rows.device)
        return lambda activations: _nearness(activations[rows], codes)


@dataclass(frozen=True)
class Product:
    """A product of terms: large only if all factors are large."""

    factors: tuple["Simple", ...]

    def __str__(self) -> str:
        return "*".join(map(str, self.factors))

    @property
    def short(self) -> str:
        return "*".join(factor.short for factor in self.factors)

    @property
    def label(self) -> str:
        return " * ".join(display_name(factor) for factor in self.factors) if any(f.label for f in self.factors) else ""


class Simple(Protocol):
    """A term that reads one layer: a unit, a direction, ...; each kind of them also has a static method `reader`.

    Attributes:
        layer: the layer's name.
        label: the name of its unit, if it has one.
        short: the term without its layer.
        group: terms with equal groups are evaluated together.
    """

    @property
    def layer(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def short(self) -> str: ...

    @property
    def group(self) -> tuple[Any, ...]: ...

    def values(self, activations: Tensor) -> Tensor:
        """Returns the term's value on N images, (N,), from its layer's activations (N, ...)."""


Term = Simple | Product


def factors(term: Term) -> tuple[Simple, ...]:
    """Returns the factors of a product, and any other term as a single factor."""
    return term.factors if isinstance(term, Product) else (term,)


def display_name(term: Term) -> str:
    """Returns the term's name for display: the unit's label if there is one, else the expression."""
    if not term.label or (isinstance(term, Unit) and SEPARATOR in term.layer):  # which network's it is matters
        return str(term)
    return f"{term.label} ({term.reading})" if isinstance(term, Unit) and term.reading else term.label


def literal(values: Tensor) -> str:
    """Returns a tensor, flattened, in the unit language: `{3:0.5,7:-1}`."""
    flat = values.flatten()
    pairs = ((i, float(flat[i])) for i in flat.nonzero().flatten().tolist())
    return "{" + ",".join(f"{i}:{number(value)}" for i, value in pairs) + "}"


def number(value: float) -> str:
    """Returns a number in the fewest digits that parse back to it."""
    return repr(float(value)).removesuffix(".0")


def _at(position: Position) -> str:
    if position is None:
        return ""
    return "@" + (position if isinstance(position, str) else ",".join(map(str, position)))


def _stacked(positions: Sequence[Position], rows: Tensor) -> list[Tensor] | list[Position]:
    """Returns one index tensor per axis of the positions; means and vectors have no axes and are returned as given."""
    if positions[0] is None or positions[0] == "mean":
        return list(positions)
    return [torch.tensor(axis, device=rows.device) for axis in zip(*positions, strict=True)]


def _read(activations: Tensor, rows: Tensor, positions: Sequence[Any], reading: str = "") -> Tensor:
    """Returns all units at each entry's position on its image, (entries, units).

    Args:
        activations: (N, ...), the layer's activations.
        rows: (entries,), the image of each entry.
        positions: from `_stacked`, or one Position per entry.
        reading: "" or one of READINGS.
    """
    tokens = activations.ndim == 3
    transform = READINGS[reading] if reading else lambda values, dim: values
    first = positions[0]
    if first == "mean":
        values = transform(activations, dim=2 if tokens else 1)
        return (values.mean(1) if tokens else values.mean((2, 3)))[rows]
    if first is None:
        return transform(activations[rows], dim=1)
    axes: Sequence[Any] = positions if isinstance(first, Tensor) else _stacked(positions, rows)
    selected = activations[rows, axes[0]] if tokens else activations[rows, :, axes[0], axes[1]]
    return transform(selected, dim=1)


def _nearness(activations: Tensor, codes: Tensor) -> Tensor:
    distance = (activations - codes).flatten(1).square().sum(1)
    return -distance / codes.flatten(1).square().sum(1)
