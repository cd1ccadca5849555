"""Tools for drawing doodles: random choices, colours, and a sketch that collects flat vector shapes.

A thing is drawn in its own coordinates, about [-1, 1] wide and high with y pointing down. Nothing here knows
of pixels: `Sketch` only collects polygons, and `paint` (paint.py) fills them at whatever size is asked.
"""

import colorsys
import functools
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

Points = Sequence[tuple[float, float]] | np.ndarray
"""(N, 2) corners as x, y."""

Dye = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Ranges of hue (degrees; may pass through 0 or 360), saturation and value."""

ANY = ((0, 360),)  # hues
WARM = ((0, 60), (340, 360))
WHITE: Colour = (0.97, 0.97, 0.95)
INK: Colour = (0.13, 0.12, 0.16)


class Dice:
    """Random choices, drawn in blocks from one seeded generator.

    Drawing in blocks is much faster than one call of the generator per number; a picture needs about two hundred.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: list[float] = rng.random(256).tolist()

    def between(self, low: float, high: float) -> float:
        """Returns a uniform number in [low, high)."""
        if not self._block:
            self._block = self._rng.random(256).tolist()
        return low + (high - low) * self._block.pop()

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def whole(self, low: int, high: int) -> int:
        """Returns a uniform integer from low to high, both included."""
        return low + int(self.between(0, high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.between(0, len(options)))]

    def colour(self, *hues: tuple[float, float], s: tuple = (0.5, 0.85), v: tuple = (0.6, 0.95)) -> Colour:
        """Returns a colour with its hue (degrees) in one of the ranges, and saturation and value in s and v."""
        low, high = self.pick(hues)
        return colorsys.hsv_to_rgb(self.between(low, high) / 360 % 1, self.between(*s), self.between(*v))

    def dye(self, *dyes: Dye) -> Colour:
        """Returns a colour from one of the dyes."""
        hue, s, v = self.pick(dyes)
        return self.colour(hue, s=s, v=v)

    def field(self, cells: int) -> np.ndarray:
        """Returns the control points of a smooth random field, (cells, cells) float32 standard normal."""
        return self._rng.standard_normal((cells, cells), dtype=np.float32)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Interpolates between colours: a for `share` 0, b for 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def light(colour: Colour, share: float) -> Colour:
    return mix(colour, (1.0, 1.0, 1.0), share)


def dark(colour: Colour, share: float) -> Colour:
    return mix(colour, (0.06, 0.04, 0.12), share)


class Sketch:
    """Flat shapes in drawing order; later ones cover earlier ones.

    `erase` as a colour cuts a hole through everything below.
    """

    erase = None

    def __init__(self) -> None:
        self.outlines: list[np.ndarray] = []
        self.colours: list[Colour | None] = []

    def polygon(self, points: Points, colour: Colour | None) -> None:
        self.outlines.append(np.asarray(points, dtype=np.float64))
        self.colours.append(colour)

    def rect(self, left: float, top: float, right: float, bottom: float, colour: Colour | None) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour | None, degrees: float = 0) -> None:
        # enough corners for a deviation of less than half a pixel at 256 px
        points = _unit_circle(36 if rx > 0.16 or ry > 0.16 else 18) * (rx, ry)
        if degrees:
            points = points @ rotation(degrees)
        self.polygon(points + np.array((x, y)), colour)

    def circle(self, x: float, y: float, r: float, colour: Colour | None) -> None:
        self.ellipse(x, y, r, r, colour)

    def sector(self, x: float, y: float, rx: float, ry: float, start: float, stop: float, colour: Colour) -> None:
        """Draws the part of an ellipse between two angles (degrees clockwise from the right), closed by a chord."""
        self.polygon(arc(x, y, rx, ry, start, stop), colour)

    def blob(self, points: Points, colour: Colour | None) -> None:
        """Draws a smooth closed curve through the points."""
        self.polygon(smooth(points, closed=True), colour)

    def stroke(self, points: Points, width: float, colour: Colour | None, end: float | None = None) -> None:
        """Draws a smooth line through the points with round ends, tapering from `width` to `end`."""
        # complex numbers x + iy: multiplying a direction by i rotates it by 90 degrees
        controls = np.array(points, dtype=np.float64).view(np.complex128)[:, 0]
        through, direction = _line(len(controls))
        line, along = through @ controls, direction @ controls
        along *= width / 2 / np.abs(along)
        if end is not None:
            along *= np.linspace(1, end / width, len(line))
        across = 1j * along
        sides = [line + across, line[-1] + _TIP * along[-1], (line - across)[::-1], line[0] - _TIP * along[0]]
        self.polygon(np.concatenate(sides).view(np.float64).reshape(-1, 2), colour)


_TIP = np.array([0.7 + 0.7j, 1, 0.7 - 0.7j])  # corners of a round end


@functools.lru_cache
def _line(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights of n control points for the points of a line through them, and for its directions."""
    through = _catmull_rom(n, closed=False) if n > 2 else np.eye(2)
    along = np.asarray(np.gradient(through, axis=0))
    return through.astype(np.complex128), along.astype(np.complex128)


@functools.lru_cache
def _unit_circle(corners: int) -> np.ndarray:
    a = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(a), np.sin(a)], axis=1)


def rotation(degrees: float) -> np.ndarray:
    """Returns the (2, 2) matrix R for which `points @ R` rotates points clockwise (y points down)."""
    a = math.radians(degrees)
    return np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])


def mirrored(half: list[tuple[float, float]], flip: tuple[int, int] = (-1, 1)) -> list[tuple[float, float]]:
    """Returns a symmetric outline from its right half, top to bottom; with flip=(1, -1) from its upper half.

    Points on the axis are not repeated.
    """
    other = [(x * flip[0], y * flip[1]) for x, y in reversed(half)]
    return half + [p for p in other if p not in half]


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, steps: int = 20) -> np.ndarray:
    """Returns (steps, 2) points on an ellipse from one angle to another, in degrees clockwise from the right."""
    return _unit_arc(start, stop, steps) * (rx, ry) + np.array((x, y))


@functools.lru_cache
def _unit_arc(start: float, stop: float, steps: int) -> np.ndarray:
    a = np.deg2rad(np.linspace(start, stop, steps))
    return np.stack([np.cos(a), np.sin(a)], axis=1)


def smooth(points: Points, closed: bool) -> np.ndarray:
    """Returns a Catmull-Rom curve through the points, as a polygon or polyline."""
    return _catmull_rom(len(points), closed) @ np.asarray(points, dtype=np.float64)


@functools.lru_cache
def _catmull_rom(n: int, closed: bool, steps: int = 6) -> np.ndarray:
    """Returns the weights of the control points for every point of the curve, (pieces * steps, n)."""
    t = np.arange(steps)[:, None] / steps
    basis = 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    pieces = n if closed else n - 1
    weights = np.zeros((pieces * steps + (not closed), n))
    for piece in range(pieces):
        for k in range(4):
            at = piece + k - 1
            at = at % n if closed else min(max(at, 0), n - 1)
            weights[piece * steps : (piece + 1) * steps, at] += basis[:, k]
    if not closed:
        weights[-1, -1] = 1
    return weights
