"""The page of a study: claim, verdict, numbers and pictures, in the style of the galleries."""

from collections.abc import Sequence
from pathlib import Path

from dgn.files import write_whole
from dgn.report.curves import HEIGHT, WIDTH, chart
from dgn.report.pages import render, write_assets
from dgn.report.words import flat, number
from dgn.studies.running import Evidence


def write_page(evidence: Evidence, folder: Path) -> Path:
    """Writes index.html into the folder of a study; returns its path."""
    write_assets(folder)
    lines = list(evidence.curves.items())
    page = render(
        "study.html",
        root="",
        title=evidence.title,
        evidence=evidence,
        figures=list(dict.fromkeys(name for _, cells in evidence.table for name in cells)),
        cell=ends,
        took=minutes(evidence.seconds),
        chart=chart([((i, i), values) for i, (_, values) in enumerate(lines)]) if lines else None,
        lines=[name for name, _ in lines],
        chart_size=(WIDTH, HEIGHT),
        settings=list(flat(evidence.settings)),
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def ends(values: Sequence[float | None] | None) -> str:
    """Returns a mean and its interval, (value, low, high), as text."""
    if values is None or values[0] is None:
        return "–"
    value, low, high = values
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"


def minutes(seconds: float) -> str:
    """Returns a duration in words."""
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.1f} minutes"
