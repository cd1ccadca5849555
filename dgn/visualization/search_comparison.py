"""The comparison of searches: galleries measured alike, and ranked by naturalness and recognition together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.am.setting import resized
from dgn.data.exact import read_exact
from dgn.errors import UserError
from dgn.metrics.ranking import RankingMetrics
from dgn.records import read_json
from dgn.report.run_comparison import BETTER, Entry, count_by_status, write_comparison
from dgn.runs.folders import RESULTS

_SHOWN = 5
"""Best and worst searches in the figure."""
_ROWS = 32
"""Largest number of rows in the figure."""


def compare_searches(
    entries: Sequence[Entry], make_yardstick: Callable[[Path, Mapping[str, Any]], RankingMetrics], folder: Path
) -> tuple[Path, list[str]]:
    """Measures the images of galleries, and writes the comparison into the folder.

    Args:
        entries: the runs; their numbers and images are set.
        make_yardstick: makes what measures them from the first run's folder and the settings in its results.json.
        folder: where the files are written.

    Returns:
        The path of the page, and the titles of the figure's rows.
    """
    finished = [entry for entry in entries if entry.status == "finished"]
    yardstick: RankingMetrics | None = None
    titles: dict[Path, list[str]] = {}
    for entry in finished:
        results = _read_results(entry.folder / RESULTS)
        yardstick = yardstick or make_yardstick(entry.folder, results["settings"])
        titles[entry.folder] = _measure(entry, results, yardstick)
    rank(finished)
    order = sorted(finished, key=lambda entry: entry.numbers["rank"])
    rows = titles[order[0].folder] if order else []
    _keep_images(order, titles, rows)
    summary = f"{len(entries)} searches: {count_by_status(entries)}."
    if order and yardstick is not None:
        summary += f" Ranked by Frechet distance from real images and by recognition; the best: {order[0].name}."
        summary += f" {yardstick.describe()}"
    ranked = [*order, *(entry for entry in entries if entry.status != "finished")]
    note = "From the best to the worst; one picture of each unit, the same seed for all."
    return write_comparison(folder, ranked, rows, 1, "Searches compared", summary, note, BETTER), rows


def rank(entries: Sequence[Entry]) -> None:
    """Sets the number `rank`: the mean of the ranks by Frechet distance and by recognition, if measured."""
    for entry in entries:
        ranks = []
        for key, more in (("frechet_distance", False), ("recognition", True)):
            values = [e.numbers[key] for e in entries if key in e.numbers]
            if key in entry.numbers:
                value = entry.numbers[key]
                ranks.append(1 + sum((v > value) if more else (v < value) for v in values))
        entry.numbers = {"rank": sum(ranks) / len(ranks) if ranks else 0.0, **entry.numbers}


def _read_results(path: Path) -> dict[str, Any]:
    """Reads the results of a gallery. Raises UserError if they are not as a gallery writes them."""
    results = read_json(path, "gallery's results")
    settings: Any = results.get("settings")
    rows: Any = results.get("results")
    try:
        seconds = settings["search_seconds"]
        right = isinstance(seconds, int | float) and isinstance(rows, list) and len(rows) > 0
        right = right and all(
            isinstance(row["image"], str)
            and isinstance(row["label"], str | None)
            and isinstance(row["objective"], str)
            and isinstance(row["percentile"], int | float | None)
            and isinstance(row["seed"], int)
            for row in rows
        )
    except (KeyError, TypeError):
        right = False
    if not right:
        raise UserError(f"{path} is damaged: its rows are not those of a gallery; make the gallery again")
    for row in rows:
        if not (path.parent / row["image"]).resolve().is_relative_to(path.parent.resolve()):
            raise UserError(f"{path} is damaged: its image {row['image']!r} is not in the gallery's folder")
    return results


def _measure(entry: Entry, results: Mapping[str, Any], yardstick: RankingMetrics) -> list[str]:
    """Sets the entry's numbers, and its images of one seed; returns the titles of these images."""
    rows = results["results"]
    images = _read_images([entry.folder / row["image"] for row in rows])
    entry.numbers |= yardstick.measure(images, [[row["label"]] if row["label"] else [] for row in rows])
    percentiles = [row["percentile"] for row in rows if row["percentile"] is not None]
    if percentiles:
        entry.numbers["percentile"] = sum(percentiles) / len(percentiles)
    entry.numbers["seconds"] = results["settings"]["search_seconds"]
    of_one_seed = [i for i, row in enumerate(rows) if row["seed"] == rows[0]["seed"]][:_ROWS]
    entry.images = images[of_one_seed]
    return [rows[i]["label"] or rows[i]["objective"] for i in of_one_seed]


def _read_images(paths: Sequence[Path]) -> Tensor:
    """Reads images as (N, C, H, W), resized to the largest, as methods may paint at several sizes."""
    images = [read_exact(path) for path in paths]
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    return torch.cat([resized(image[None], (height, width)) for image in images])


def _keep_images(order: Sequence[Entry], titles: Mapping[Path, Sequence[str]], rows: Sequence[str]) -> None:
    """Keeps the images of the best and the worst searches that show the units of the figure's rows."""
    shown = {entry.folder for entry in (*order[:_SHOWN], *order[-_SHOWN:])}
    for entry in order:
        if entry.folder not in shown or titles[entry.folder] != rows:
            entry.images = None
