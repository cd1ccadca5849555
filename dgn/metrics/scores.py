"""The table of metrics: a row for each method and prior, each figure with its interval over units."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dgn.files import write_whole
from dgn.metrics.intervals import Estimate, interval

REAL = "real images"
"""The method's name in the reference row."""

SHARES = ("2afc", "causal", "wrong_class_start", "top1", "top5")
"""Figures that are fractions of images."""


@dataclass(frozen=True)
class Measured:
    """The metrics of one method with one prior.

    Attributes:
        method: the method's name.
        prior: the prior's name; "" if the method has none.
        units: the units' expressions, in order.
        images: the number of images.
        per_unit: {figure: (units,)}, the mean over each unit's images; NaN if it has none.
        of_set: {figure: (value, pseudo-values)}, for figures of all images together (`Naturalness`).
        plain: {figure: value}, for figures without an interval: steps, seconds, number of images for naturalness.
        start: where the searches started: "noise", "real", ...; "" for images that no search made.
        layer: the layer that the prior inverts; "" if the method has no prior.
    """

    method: str
    prior: str
    units: tuple[str, ...]
    images: int
    per_unit: dict[str, np.ndarray]
    of_set: dict[str, tuple[float, np.ndarray]] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)
    start: str = ""
    layer: str = ""


@dataclass(frozen=True)
class Difference:
    """The difference of a figure between (method, prior) and (other, other_prior), over the same units."""

    figure: str
    method: str
    prior: str
    other: str
    other_prior: str
    estimate: Estimate


@dataclass(frozen=True)
class Scores:
    """The table of scores.

    Attributes:
        rows: of the methods, followed by that of real images.
        resamples: the number of bootstrap samples of the intervals.
        seed: seeds the bootstrap.
    """

    rows: Sequence[Measured]
    resamples: int = 2000
    seed: int = 0

    @property
    def figures(self) -> list[str]:
        """The names of the figures that any row has: first those that tell methods apart, last those of recognition."""
        names = dict.fromkeys(name for row in self.rows for name in (*row.per_unit, *row.of_set))
        return sorted(names, key=_rank)

    def estimate(self, row: Measured, figure: str) -> Estimate | None:
        """Returns a figure of a row with its 95% interval; None if it was not measured."""
        settings: dict[str, Any] = dict(resamples=self.resamples, seed=self.seed)
        if figure in row.of_set:
            value, folds = row.of_set[figure]
            return interval(folds, value, **settings) or Estimate(value, None, None, len(row.units))
        if figure not in row.per_unit:
            return None
        return interval(row.per_unit[figure], share=figure in SHARES, **settings)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns one flat mapping per row.

        Its keys are method, prior, start, units, images, and for each figure NAME, NAME_low and NAME_high (None if
        missing).
        """
        table = []
        for row in self.rows:
            record: dict[str, Any] = {"method": row.method, "prior": row.prior, "start": row.start}
            record |= {"units": len(row.units), "images": row.images}
            for figure in self.figures:
                estimate = self.estimate(row, figure)
                record[figure] = estimate.value if estimate else None
                record |= {f"{figure}_{end}": getattr(estimate, end) if estimate else None for end in ("low", "high")}
            table.append(record | row.plain)
        names = list(dict.fromkeys(name for record in table for name in record))
        return [{name: record.get(name) for name in names} for record in table]

    def differences(self) -> list[Difference]:
        """Compares every row with every later one, paired by unit; units that one of them lacks are left out.

        Pairing removes the variation in difficulty between units, so that these intervals are narrower than those of
        the rows.
        """
        settings: dict[str, Any] = dict(resamples=self.resamples, seed=self.seed)
        differences = []
        for row, other in itertools.combinations(self.rows, 2):
            for figure in self.figures:
                estimate = None
                if figure in row.per_unit and figure in other.per_unit:
                    first, second = (dict(zip(r.units, r.per_unit[figure], strict=True)) for r in (row, other))
                    estimate = interval([first[unit] - second[unit] for unit in first if unit in second], **settings)
                elif figure in row.of_set and figure in other.of_set and row.units == other.units:
                    (value, folds), (other_value, other_folds) = row.of_set[figure], other.of_set[figure]
                    estimate = interval(folds - other_folds, value - other_value, **settings)
                if estimate:
                    differences.append(Difference(figure, row.method, row.prior, other.method, other.prior, estimate))
        return differences

    def write(self, folder: str | Path) -> list[Path]:
        """Writes scores.csv and differences.csv into the folder, with empty cells for None; returns the paths."""
        differences = [
            {"figure": d.figure, "method": d.method, "prior": d.prior, "other": d.other, "other_prior": d.other_prior}
            | {
                "difference": d.estimate.value,
                "low": d.estimate.low,
                "high": d.estimate.high,
                "units": d.estimate.units,
            }
            for d in self.differences()
        ]
        paths = []
        for name, records in (("scores.csv", self.to_dicts()), ("differences.csv", differences)):
            if records:
                paths.append(Path(folder) / name)
                write_whole(paths[-1], _csv(records))
        return paths


_FIRST = ("2afc", "mis", "causal", "frechet", "kid", "diversity", "gain", "paths")
_LAST = ("wrong_class_start", "top1", "top5", "probability")


def _rank(figure: str) -> tuple[int, int]:
    """Returns where a figure stands among others, in the order of docs/metrics.md."""
    if figure in _FIRST:
        return 0, _FIRST.index(figure)
    return (2, _LAST.index(figure)) if figure in _LAST else (1, 0)


def _csv(records: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
