"""Receptive fields: the part of a network's input on which each unit depends.

If an axis of a tensor has positions, position i depends on input pixels low + jump * i .. high + jump * i; if it has
none (after pooling or flattening into a fully connected layer), on low .. high. Fields are not clipped at the borders:
they may extend beyond the image, as in published sizes (CaffeNet's pool5: 195 pixels).
`dgn.networks.receptive.tracing` computes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

_EPS = 1e-6  # of a pixel: what rounding may do to a field's border


@dataclass(frozen=True)
class Track:
    """What one axis of the input (rows or columns) is to a tensor.

    dim: the tensor's dimension that has places along it, or None; place p of the dimension is place
    ((p - shift) // period) % length of the axis (tokens hold rows and columns in one dimension).
    jump, low, high: as above. exact: whether that is what is seen, or only known to contain it.
    """

    dim: int | None
    length: int
    jump: float
    low: float
    high: float
    period: int = 1
    shift: int = 0
    exact: bool = True

    @property
    def along(self) -> int:
        """`dim`, of a track that has one."""
        assert self.dim is not None
        return self.dim

    def of_all(self, exact: bool = True) -> "Track":
        """The union of the fields of all positions."""
        high = self.high + self.jump * (self.length - 1)
        return Track(None, 1, 0, self.low, high, exact=self.exact and exact)

    def scaled(self, length: int, stride: float, first: float, last: float) -> "Track":
        """After an operation whose place i sees places stride * i + first .. stride * i + last of this one."""
        low, high = self.low + self.jump * first, self.high + self.jump * last
        return replace(self, length=length, jump=self.jump * stride, low=low, high=high)


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of one layer.

    Attributes:
        rows: What its places along the vertical axis of the input see.
        columns: The same along the horizontal axis.
        input_size: Height and width of the input.
    """

    rows: Track
    columns: Track
    input_size: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Whether it is known, or only what contains it."""
        return self.rows.exact and self.columns.exact

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of one unit's field, in input pixels, not clipped at the borders."""
        height, width = (math.floor(t.high + _EPS) - math.ceil(t.low - _EPS) + 1 for t in (self.rows, self.columns))
        return height, width

    @property
    def stride(self) -> tuple[float, float]:
        """Distance between the fields of neighbouring units, in pixels; 0 along an axis without positions."""
        return self.rows.jump, self.columns.jump

    @property
    def offset(self) -> tuple[float, float]:
        """Row and column of the first pixel of the field of unit (0, 0); negative values lie in the padding."""
        return self.rows.low, self.columns.low

    @property
    def everywhere(self) -> bool:
        """Whether the field of every unit is the whole input."""
        return all(
            t.low + t.jump * (t.length - 1) <= 0 and t.high >= side - 1
            for t, side in zip((self.rows, self.columns), self.input_size, strict=True)
        )

    def of_all(self) -> "ReceptiveField":
        """The union of the fields of all positions of the layer."""
        return ReceptiveField(self.rows.of_all(), self.columns.of_all(), self.input_size)

    def region(self, position: Sequence[int] | None = None) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of what the unit at a position sees, cut off at the input's borders.

        bottom and right are the first that it does not see, so that the region is image[:, top:bottom, left:right].

        position: (row, column) of a map, (token,) of tokens, None for a vector or for all positions together.
        """
        edges = []
        for axis, (track, side) in enumerate(zip((self.rows, self.columns), self.input_size, strict=True)):
            low, high = track.low, track.high
            if track.dim is not None and position is None:
                high += track.jump * (track.length - 1)
            elif track.dim is not None and position is not None:
                place = position[axis] if len(position) == 2 else position[0] - track.shift
                index = place if len(position) == 2 else (place // track.period) % track.length
                if place < 0:  # the class token sees nothing of its own
                    low, high = 0, -1
                else:
                    low, high = low + track.jump * index, high + track.jump * index
            edges.append((max(0, math.ceil(low - _EPS)), min(side, math.floor(high + _EPS) + 1)))
        (top, bottom), (left, right) = edges
        return top, left, max(top, bottom), max(left, right)


def region(net: Any, layer: str, position: Sequence[int] | str | None = None) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), in pixels of the network's input, of what the unit of a layer sees.

    In an image of the network's input size, the region is image[..., top:bottom, left:right]. It is the whole image
    where it cannot be determined.

    net: a FeatureNet. position: (row, column) of a map, (token,) of tokens, "mean" or None for all together, as
    `Unit.position` has it.
    """
    field = net.receptive_field(layer)
    if field is None:
        height, width = net.probe_size
        return 0, 0, height, width
    return field.region(None if isinstance(position, str) else position or None)


def union(tracks: Sequence[Track]) -> Track:
    """What depends on all of these, which are of one tensor."""
    first = tracks[0]
    exact = all(track.exact for track in tracks)
    if any(replace(t, low=0, high=0, exact=True) != replace(first, low=0, high=0, exact=True) for t in tracks):
        tracks = [track.of_all() for track in tracks]
    low, high = min(t.low for t in tracks), max(t.high for t in tracks)
    return replace(tracks[0], low=low, high=high, exact=exact)
