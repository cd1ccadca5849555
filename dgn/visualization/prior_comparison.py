"""The comparison of priors: each is asked to show the same units from the same seeds, and the images are measured."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dgn.am.method import Method
from dgn.am.objectives.algebra import Objective
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.metrics.ranking import RankingMetrics
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.records import read_json
from dgn.report.run_comparison import BETTER, Entry, count_by_status, write_comparison
from dgn.runs.folders import METRICS
from dgn.visualization.approaches import Approach
from dgn.visualization.search import search
from dgn.visualization.settings import PriorComparison

log = logging.getLogger(__name__)

_NOT_OF_VALIDATION = {f"data.{key}" for key in ("batch_size", "num_workers", "cache", "train_images", "mirror")}
"""Settings of the images in which runs may differ that were validated on the same images."""


@dataclass(frozen=True)
class Task:
    """What all priors are asked to show.

    Attributes:
        target: the network whose units are shown.
        objectives: the units.
        method: searches the codes of each prior.
        data: the real images on which methods measure statistics, if any are known.
        yardstick: measures what each prior shows.
    """

    target: FeatureNet
    objectives: Sequence[Objective]
    method: Method
    data: ImageData | None
    yardstick: RankingMetrics


def compare_priors(
    entries: Sequence[Entry],
    asked: PriorComparison,
    make_task: Callable[[Prior], Task],
    device: torch.device,
    folder: Path,
) -> tuple[Path, list[str]]:
    """Measures the priors of the entries, and writes the comparison into the folder.

    A prior that cannot be read or searched is left out, with the error in its entry.

    Args:
        entries: the runs; their numbers and images are set.
        asked: how the priors are searched.
        make_task: makes what all are asked to show from the first prior that can be read.
        device: where they compute.
        folder: where the files are written.

    Returns:
        The path of the page, and the titles of the figure's rows.

    Raises:
        UserError: if every prior is left out; the error is the first one's.
    """
    for entry in entries:
        if entry.status == "finished" and (entry.folder / METRICS).is_file():
            entry.numbers |= _training_numbers(read_json(entry.folder / METRICS, "run's metrics"))
    with_prior = [entry for entry in entries if entry.prior is not None and entry.status == "finished"]
    task: Task | None = None
    for entry in with_prior:
        try:
            prior = Prior.load(str(entry.prior), device, asked.code)
        except UserError as error:
            _leave_out(entry, error)
            continue
        entry.numbers = entry.numbers or _training_numbers(prior.about.get("metrics", {}))
        task = task or make_task(prior)
        _show(entry, prior, task, asked)
    if with_prior and all(entry.error for entry in with_prior):
        raise UserError(with_prior[0].error)
    return _write(entries, task, len(asked.search.seeds), "Priors compared" if with_prior else "Runs compared", folder)


def _show(entry: Entry, prior: Prior, task: Task, asked: PriorComparison) -> None:
    """Shows the task's units through a prior: sets the entry's images and numbers."""
    log.info("Comparing: %s", entry.name)
    approach = Approach(task.method, prior, "", asked.start)
    try:
        preferred = search(approach, task.target, task.objectives, asked.search, task.data).preferred
    except UserError as error:
        _leave_out(entry, error)
        return
    entry.images = preferred.images.cpu()
    entry.numbers |= task.yardstick.measure(preferred.images, [o.wanted for o in preferred.objectives])


def _write(entries: Sequence[Entry], task: Task | None, seeds: int, title: str, folder: Path) -> tuple[Path, list[str]]:
    summary = f"{len(entries)} runs: {count_by_status(entries)}."
    rows: list[str] = []
    if task is not None:
        rows = [objective.label or str(objective) for objective in task.objectives]
        summary += (
            f" Each prior shows the same {len(rows)} units of {task.target.name} from the same "
            f"{'seed' if seeds == 1 else 'seeds'}, searched alike. {task.yardstick.describe()}"
        )
    best: Mapping[str, bool] = BETTER
    if not _have_same_validation(entries):
        summary += " The runs had other images, so what was measured on each one's own (val/) is not to be compared."
        best = {key: more for key, more in BETTER.items() if not key.startswith("val/")}
    note = "A row a unit, a column a prior; the same seeds for each."
    return write_comparison(folder, entries, rows, seeds, title, summary, note, best), rows


def _have_same_validation(entries: Sequence[Entry]) -> bool:
    """Whether the runs were validated on the same images, according to their settings."""
    keys = {key for entry in entries for key in entry.settings if key == "data" or key.startswith("data.")}
    return not keys - _NOT_OF_VALIDATION


def _training_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in metrics.items() if key.startswith("val/")}
    numbers["seconds"] = metrics.get("total_seconds", metrics.get("fit_seconds"))
    numbers["parameters"] = metrics.get("generator_parameters", metrics.get("parameters"))
    return {key: value for key, value in numbers.items() if isinstance(value, int | float)}


def _leave_out(entry: Entry, error: UserError) -> None:
    entry.error = str(error)
    log.warning("%s is not compared: %s", entry.name, error)
