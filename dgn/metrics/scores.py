"""The table of what was measured: a row for each method and prior, each figure with its interval over units."""

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

SHARES = ("top1", "top5")
"""Figures that are shares of images."""


@dataclass(frozen=True)
class Measured:
    """What one method through one prior made, measured.

    units: the units' expressions, in order. images: how many there are in all.
    per_unit: {figure: (units,) its mean over the unit's images, NaN where it has none}.
    of_set: {figure: (value, pseudo-values)}, for figures of all images together (`Naturalness`).
    plain: {figure: value} for what has no spread: steps, seconds, images that naturalness is over.
    """

    method: str
    prior: str
    units: tuple[str, ...]
    images: int
    per_unit: dict[str, np.ndarray]
    of_set: dict[str, tuple[float, np.ndarray]] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """How much larger a figure is for (method, prior) than for (other, other_prior), over the same units."""

    figure: str
    method: str
    prior: str
    other: str
    other_prior: str
    estimate: Estimate


@dataclass(frozen=True)
class Scores:
    """rows: of methods, and last that of real images, scored by the same code. resamples, seed: of the intervals."""

    rows: Sequence[Measured]
    resamples: int = 2000
    seed: int = 0

    @property
    def figures(self) -> list[str]:
        """The names of what was measured of any row, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in (*row.per_unit, *row.of_set)))

    def estimate(self, row: Measured, figure: str) -> Estimate | None:
        """A figure of a row, with its 95% interval; None where it was not measured."""
        settings: dict[str, Any] = dict(resamples=self.resamples, seed=self.seed)
        if figure in row.of_set:
            value, folds = row.of_set[figure]
            return interval(folds, value, **settings) or Estimate(value, None, None, len(row.units))
        if figure not in row.per_unit:
            return None
        return interval(row.per_unit[figure], share=figure in SHARES, **settings)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat mapping a row: method, prior, units, images, and for each figure NAME, NAME_low, NAME_high (None
        where there is none)."""
        table = []
        for row in self.rows:
            record: dict[str, Any] = {"method": row.method, "prior": row.prior}
            record |= {"units": len(row.units), "images": row.images}
            for figure in self.figures:
                found = self.estimate(row, figure)
                record[figure] = found.value if found else None
                record |= {f"{figure}_{end}": getattr(found, end) if found else None for end in ("low", "high")}
            table.append(record | row.plain)
        names = list(dict.fromkeys(name for record in table for name in record))
        return [{name: record.get(name) for name in names} for record in table]

    def differences(self) -> list[Difference]:
        """Every row against every later one, unit by unit: units that one of them lacks do not count. Pairing takes
        out how hard a unit is, so that these intervals are narrower than the rows' own."""
        settings: dict[str, Any] = dict(resamples=self.resamples, seed=self.seed)
        found = []
        for row, other in itertools.combinations(self.rows, 2):
            for figure in self.figures:
                estimate = None
                if figure in row.per_unit and figure in other.per_unit:
                    mine, theirs = (dict(zip(r.units, r.per_unit[figure], strict=True)) for r in (row, other))
                    estimate = interval([mine[unit] - theirs[unit] for unit in mine if unit in theirs], **settings)
                elif figure in row.of_set and figure in other.of_set and row.units == other.units:
                    (value, folds), (their_value, their_folds) = row.of_set[figure], other.of_set[figure]
                    estimate = interval(folds - their_folds, value - their_value, **settings)
                if estimate:
                    found.append(Difference(figure, row.method, row.prior, other.method, other.prior, estimate))
        return found

    def write(self, folder: str | Path) -> list[Path]:
        """Writes scores.csv and differences.csv into the folder; what is None is an empty cell."""
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


def _csv(records: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
