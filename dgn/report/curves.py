"""Activation over the steps of a search, as the points of lines in an SVG.

Labels are text of the page and not of the SVG, so that their size does not depend on the picture's width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dgn.report.words import known

WIDTH, HEIGHT = 1000, 400
MOST_POINTS = 100  # per line: more are not visible, and a page may have many lines


@dataclass(frozen=True)
class Line:
    """A line of a chart: its key as given to `chart`, and the points of each unbroken piece as in SVG's polyline."""

    key: tuple[int, int]
    pieces: list[str]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        lines: the lines, in a box of WIDTH x HEIGHT.
        steps: ticks of the horizontal axis: (percent from the left, text).
        values: ticks of the vertical axis: (percent from the bottom, text).
        reference: percent from the bottom; None if there is none.
    """

    lines: list[Line]
    steps: list[tuple[float, str]]
    values: list[tuple[float, str]]
    reference: float | None


def chart(curves: Sequence[tuple[tuple[int, int], Sequence[float]]], reference: float | None = None) -> Chart | None:
    """Returns one chart of the curves; None if there are fewer than two finite values.

    Args:
        curves: pairs (key, values); values that are not finite break the line.
        reference: a value to compare with: that of the best real image.
    """
    series = [(key, [float(v) for v in values]) for key, values in curves]
    finite = [v for _, values in series for v in values if math.isfinite(v)]
    longest = max((len(values) for _, values in series), default=0)
    if len(finite) < 2 or longest < 2:
        return None
    ends = [*finite, reference] if known(reference) else finite
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else 0.5 * (abs(low) or 1)
    low, high = low - margin, high + margin

    def up(value: float) -> float:
        return (value - low) / (high - low)

    lines = [Line(key, _pieces(values, longest, up)) for key, values in series]
    return Chart(
        lines,
        [(round(100 * step / (longest - 1), 2), f"{step:g}") for step in _ticks(0, longest - 1, whole=True)],
        [(round(100 * up(value), 2), f"{value:.6g}") for value in _ticks(low, high)],
        round(100 * up(reference), 2) if known(reference) else None,
    )


def _pieces(values: list[float], longest: int, up: Callable[[float], float]) -> list[str]:
    every = max(1, math.ceil(len(values) / MOST_POINTS))
    chosen = sorted({*range(0, len(values), every), len(values) - 1}) if values else []
    pieces: list[list[str]] = [[]]
    for i in chosen:
        if math.isfinite(values[i]):
            pieces[-1].append(f"{WIDTH * i / (longest - 1):.0f},{HEIGHT * (1 - up(values[i])):.0f}")
        elif pieces[-1]:
            pieces.append([])
    return [" ".join(piece) for piece in pieces if piece]


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Returns two to six round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    step = max(1.0, step) if whole else step
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
