"""Comparison of runs: a page, a table and a figure like S13 of Nguyen et al. 2016 (rows: classes, columns: priors)."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import torch
from torch import Tensor

from dgn.files import relative_path, write_whole, written_aside
from dgn.report.comparison_figure import comparison_figure

BETTER = {
    "val/psnr": True,
    "val/feature_distance": False,
    "val/code_error": False,
    "val/accuracy": True,
    "recognition": True,
    "frechet_distance": False,
    "rank": False,
}
"""{number: whether higher is better}, for numbers that have a best value."""


@dataclass
class Entry:
    """A run in a comparison.

    Attributes:
        name: distinguishes it from the others, with ` · ` between settings.
        folder: the run folder.
        status: `finished`, `failed` or `unfinished`.
        error: why it failed, or why it could not be compared.
        settings: the settings in which the runs differ.
        numbers: its metrics.
        images: (units * seeds, 3, H, W) in image space, unit by unit; None if it has none.
        prior: the name under which its prior is loaded; None if it has none.
    """

    name: str
    folder: Path
    status: str = "finished"
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    images: Tensor | None = None
    prior: str | None = None


def write_comparison(
    folder: str | Path,
    entries: Sequence[Entry],
    row_titles: Sequence[str],
    per_cell: int,
    title: str,
    summary: str,
    figure_note: str,
    best: Mapping[str, bool],
) -> Path:
    """Writes comparison.csv, comparison.png (if any run has images) and, last, index.html; returns the page's path.

    Args:
        folder: where the files are written.
        entries: the runs.
        row_titles: the titles of the figure's rows.
        per_cell: the number of images in a cell of the figure.
        title: the page's title.
        summary: the sentence under it.
        figure_note: the note under the figure.
        best: {number: whether higher is better}, for numbers that have a best value.
    """
    folder = Path(folder)
    settings = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    numbers = list(dict.fromkeys(key for entry in entries for key in entry.numbers))
    write_whole(folder / "comparison.csv", _table(entries, settings, numbers, folder))
    shown = [entry for entry in entries if entry.images is not None]
    if shown:
        sheet = comparison_figure(_side_by_side(shown, per_cell), row_titles, [entry.name for entry in shown], per_cell)
        with written_aside(folder / "comparison.png") as aside:
            sheet.save(aside, format="PNG", compress_level=3)
    page = _TEMPLATES.get_template("comparison.html").render(
        title=title,
        summary=summary,
        entries=entries,
        settings=[key for key in settings if not _in_names(key, entries)],
        numbers=numbers,
        winners=_winners(entries, best),
        shown=bool(shown),
        size=sheet.size if shown else (0, 0),
        columns=len(shown) * per_cell,
        figure_note=figure_note,
        links=[quote(relative_path(entry.folder, folder)) for entry in entries],
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def count_by_status(entries: Sequence[Entry]) -> str:
    """Returns how many entries are finished, failed and unfinished, in words."""
    statuses = [entry.status for entry in entries]
    counts = {status: statuses.count(status) for status in ("finished", "failed", "unfinished")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _side_by_side(entries: Sequence[Entry], per_cell: int) -> Tensor:
    """Returns the entries' images, row by row of the figure, resized to the largest."""
    sets = [entry.images.float() for entry in entries if entry.images is not None]
    side = max(max(images.shape[-2:]) for images in sets)
    columns = []
    for images in sets:
        if images.shape[-2:] != (side, side):
            images = torch.nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        columns.append(images.unflatten(0, (-1, per_cell)))
    return torch.stack(columns, 1).flatten(0, 2)


def _in_names(key: str, entries: Sequence[Entry]) -> bool:
    """Whether the runs' names already contain this setting."""
    last = key.rsplit(".", 1)[-1]
    return all(f"{last}={entry.settings.get(key, '')}" in entry.name.split(" · ") for entry in entries)


def _table(entries: Sequence[Entry], settings: Sequence[str], numbers: Sequence[str], folder: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "status", *settings, *numbers, "error", "folder"])
    for entry in entries:
        values = [entry.settings.get(key, "") for key in settings] + [entry.numbers.get(key, "") for key in numbers]
        writer.writerow([entry.name, entry.status, *values, entry.error, relative_path(entry.folder, folder)])
    return text.getvalue()


def _winners(entries: Sequence[Entry], best: Mapping[str, bool]) -> dict[str, float]:
    """Returns {number: its best value} for numbers in which the runs differ."""
    winners = {}
    for key, more in best.items():
        values = [entry.numbers[key] for entry in entries if math.isfinite(entry.numbers.get(key, math.nan))]
        if len(set(values)) > 1:
            winners[key] = (max if more else min)(values)
    return winners


def cell(value: Any) -> str:
    """Formats a measured value for a table."""
    if value is None or value == "":
        return "–"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dgn.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= dict(number=cell)
