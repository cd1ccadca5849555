"""The table of a run's preferred images, one row an image: results.csv, and results.json with the settings."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dgn.files import write_whole


@dataclass(frozen=True)
class Row:
    """One preferred image and what was measured of it.

    layer, unit: `fc8` and `3`, `12@4,4` in a map; of a weighted sum, its layers and its units joined.
    label: the unit's name; "" where the network gives none.
    activation: the objective's value for the image as written.
    percentile: 0 .. 100, how many in a hundred real images activate the unit less; None where not measured.
    judge_label, judge_probability: what another network takes the image for; "" and None without a judge.
    recognized: whether the judge's label is the unit's; None where the two cannot be compared.
    image: the PNG's path from the run folder, with slashes.
    objective: the expression that was maximized, as the unit language writes it.

    prior: what it was searched through, as its column is headed; "" where the method has none.
    facet: which of the unit's facets the search began in; "" where it began in none.
    judge_top5: whether the unit's label is among the judge's first five.
    nearest_pixels, nearest_code: distance to the nearest real image in pixel space and in the target's code space.
    steps, seconds: what the search took.
    None in these: not measured.
    note: what there is to say of the search: that it woke a silent unit, or found nothing and why. Of a search that
    found nothing nothing is measured, and its activation is NaN.
    """

    layer: str
    unit: str
    label: str
    seed: int
    method: str
    activation: float
    percentile: float | None
    judge_label: str
    judge_probability: float | None
    recognized: bool | None
    image: str
    objective: str
    prior: str = ""
    facet: str = ""
    judge_top5: bool | None = None
    nearest_pixels: float | None = None
    nearest_code: float | None = None
    steps: int | None = None
    seconds: float | None = None
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def write_results(folder: str | Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> None:
    """Writes results.csv and results.json ({"settings": ..., "results": [...]}) into `folder`.

    Both hold the same values in full precision. What is None, "" or not finite is an empty cell in the CSV;
    None and what is not finite is null in the JSON, which is strict (no NaN). Settings that JSON has no form
    for (paths, devices, infinities) are written as their `str`.
    """
    records = [{name: _known(value) for name, value in asdict(row).items()} for row in rows]
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    write_whole(Path(folder) / "results.csv", table.getvalue())
    document = {"settings": plain(settings), "results": records}
    write_whole(Path(folder) / "results.json", json.dumps(document, indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Settings as JSON has them: mappings, lists, strings, finite numbers, booleans and None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)  # numpy and torch


def _known(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # numpy's numbers are none that JSON knows
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value  # true and false, as in the JSON
