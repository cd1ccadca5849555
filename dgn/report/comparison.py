"""Runs side by side: a page, a table and a figure like S13 of Nguyen et al. 2016 (a row a class, a column a prior)."""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling
from torch import Tensor

from dgn.files import write_whole, written_aside
from dgn.report.figures import pictures

PICTURE = 96  # pixels that small pictures are enlarged to at least


@dataclass
class Entry:
    """A run in a comparison. name: what tells it from the others. status: `finished`, `failed` or `unfinished`;
    error: what it failed of. settings: those in which the runs differ. numbers: what was measured of it.
    images: (units * seeds, 3, H, W) in image space, unit after unit; None where it made none."""

    name: str
    folder: Path
    status: str = "finished"
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    images: Tensor | None = None


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
    """Writes comparison.csv, comparison.png (where any run has images) and, last, index.html into `folder`; returns
    the page's path. best: {number: whether more is better}, for those that have a best."""
    folder = Path(folder)
    settings = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    numbers = list(dict.fromkeys(key for entry in entries for key in entry.numbers))
    write_whole(folder / "comparison.csv", _table(entries, settings, numbers, folder))
    shown = [entry for entry in entries if entry.images is not None]
    if shown:
        sheet = figure(_side_by_side(shown, per_cell), row_titles, [entry.name for entry in shown], per_cell)
        with written_aside(folder / "comparison.png") as aside:
            sheet.save(aside, format="PNG", compress_level=3)
    page = _TEMPLATES.get_template("comparison.html").render(
        title=title,
        summary=summary,
        entries=entries,
        settings=settings,
        numbers=numbers,
        winners=_winners(entries, best),
        shown=bool(shown),
        size=sheet.size if shown else (0, 0),
        figure_note=figure_note,
        links=[quote(os.path.relpath(entry.folder, folder)) for entry in entries],
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def figure(images: Tensor, row_titles: Sequence[str], column_titles: Sequence[str], per_cell: int = 1) -> Image.Image:
    """Pictures in a table, with titles above the columns and left of the rows.

    images: (rows * columns * per_cell, 3, H, W) in image space, row after row, cell after cell."""
    height, width = images.shape[-2:]
    factor = max(1, -(-PICTURE // height))
    height, width = factor * height, factor * width
    gap, size = max(2, height // 32), min(max(13, height // 8), 24)
    font = ImageFont.load_default(size)
    cell = per_cell * (width + gap) - gap
    names = [_wrapped(title, font, cell) for title in column_titles]
    head = round(1.3 * size * max(map(len, names))) + size
    left = 2 * size + round(max(font.getlength(title) for title in row_titles))
    step = cell + 4 * gap
    sheet = Image.new(
        "RGB", (left + len(names) * step - 4 * gap + size, head + len(row_titles) * (height + gap) + size), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(names):
        for line, text in enumerate(reversed(lines)):
            place = left + column * step + cell / 2, head - size / 2 - round(1.3 * size * line)
            draw.text(place, text, (28, 28, 30), font, anchor="ms")
    for row, text in enumerate(row_titles):
        draw.text((left - size / 2, head + row * (height + gap) + height / 2), text, (28, 28, 30), font, anchor="rm")
    for index, picture in enumerate(pictures(images)):
        row, column = divmod(index // per_cell, len(names))
        place = left + column * step + index % per_cell * (width + gap), head + row * (height + gap)
        sheet.paste(picture.resize((width, height), Resampling.LANCZOS), place)
    return sheet


def _side_by_side(entries: Sequence[Entry], per_cell: int) -> Tensor:
    """The entries' images, row after row of the figure; all as large as the largest."""
    side = max(max(entry.images.shape[-2:]) for entry in entries)
    columns = []
    for entry in entries:
        images = entry.images.float()
        if images.shape[-2:] != (side, side):
            images = torch.nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        columns.append(images.unflatten(0, (-1, per_cell)))
    return torch.stack(columns, 1).flatten(0, 2)


def _wrapped(title: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that are no wider than the column, broken where there is a space, a comma or a dot, else anywhere."""
    lines = [""]
    for letter in title:
        if font.getlength(lines[-1] + letter) > width and lines[-1]:
            at = max(lines[-1].rfind(mark) for mark in " ,.=_")
            kept, rest = (lines[-1][: at + 1], lines[-1][at + 1 :]) if at > 0 else (lines[-1], "")
            lines[-1:] = [kept, rest]
        lines[-1] += letter
    return [line.strip() for line in lines]


def _table(entries: Sequence[Entry], settings: Sequence[str], numbers: Sequence[str], folder: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "status", *settings, *numbers, "error", "folder"])
    for entry in entries:
        values = [entry.settings.get(key, "") for key in settings] + [entry.numbers.get(key, "") for key in numbers]
        writer.writerow([entry.name, entry.status, *values, entry.error, os.path.relpath(entry.folder, folder)])
    return text.getvalue()


def _winners(entries: Sequence[Entry], best: Mapping[str, bool]) -> dict[str, float]:
    """{number: its best value}, where there is more than one to choose from."""
    found = {}
    for key, more in best.items():
        values = [entry.numbers[key] for entry in entries if math.isfinite(entry.numbers.get(key, math.nan))]
        if len(values) > 1:
            found[key] = (max if more else min)(values)
    return found


def number(value: Any) -> str:
    """A measured value as a table shows it."""
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
_TEMPLATES.filters |= dict(number=number)
