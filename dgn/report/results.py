"""The table of a run's preferred images, one row per image: results.csv, and results.json with the settings."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dgn.files import write_whole
from dgn.runs.folders import RESULTS


@dataclass(frozen=True)
class Row:
    """One preferred image and its metrics.

    For a search without a result nothing is measured, and its activation is NaN.

    Attributes:
        layer: e.g. `fc8`; for a weighted sum, its layers joined.
        unit: e.g. `3`, or `12@4,4` in a map; for a weighted sum, its units joined.
        label: the unit's name; "" if the network has none.
        seed: the seed of the search.
        method: the method's name.
        activation: the objective's value for the image as written.
        percentile: 0 .. 100, the percentage of real images that activate the unit less; None if not measured.
        judge_label: the judge's top label; "" without a judge.
        judge_probability: its probability; None without a judge.
        recognized: whether the judge's label is the unit's; None if the two cannot be compared.
        image: the PNG's path from the run folder, with slashes.
        objective: the expression that was maximized, in the unit language.
        prior: the prior's name, as in the column's heading; "" if the method has none.
        facet: the unit's facet that the search started from; "" if none.
        judge_top5: whether the unit's label is among the judge's top five; None if not measured.
        nearest_pixels: distance to the nearest real image in pixel space; None if not measured.
        nearest_code: distance to the nearest real image in the target's code space; None if not measured.
        steps: the number of steps of the search; None if not measured.
        seconds: the duration of the search; None if not measured.
        start: where the search started: "noise", "real" (near real images of the unit), "sample", "facets" (of real
            images), "sampled facets", or the path of an image; "" if not recorded.
        start_activation: the objective's value for what the search began at; None if not recorded.
        start_recognized: whether the judge takes that for the unit's label; None if not measured.
        image_correlation_with_start: Pearson correlation of the image with what the search began at, over pixels and
            channels; None if not recorded.
        tries: how often the search was begun, each time from another start (`dgn.am.again`).
        note: that the unit was silent at the start, or why the search has no result.
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
    start: str = ""
    start_activation: float | None = None
    start_recognized: bool | None = None
    image_correlation_with_start: float | None = None
    tries: int = 1


COLUMNS = tuple(field.name for field in fields(Row))


def write_results(folder: str | Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> None:
    """Writes results.csv and results.json ({"settings": ..., "results": [...]}) into `folder`.

    Both hold the same values in full precision. None, "" and values that are not finite are empty cells in the CSV.
    None and values that are not finite are null in the JSON, which is strict (no NaN). Settings that JSON cannot
    represent (paths, devices, infinities) are written as their `str`.
    """
    records = [{name: _json_value(value) for name, value in asdict(row).items()} for row in rows]
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    write_whole(Path(folder) / "results.csv", table.getvalue())
    document = {"settings": as_json(settings), "results": records}
    write_whole(Path(folder) / RESULTS, json.dumps(document, indent=1, allow_nan=False) + "\n")


def as_json(value: Any) -> Any:
    """Converts settings to JSON types: mappings, lists, strings, finite numbers, booleans and None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [as_json(entry) for entry in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return as_json(value.tolist()) if hasattr(value, "tolist") else str(value)  # numpy and torch


def _json_value(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # json does not accept numpy's numbers
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value  # true and false, as in the JSON
