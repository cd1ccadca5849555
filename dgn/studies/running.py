"""Runs a study seed by seed; what a seed measured is kept, so that a stopped run goes on with the next one."""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dgn.files import write_whole, written_aside
from dgn.records import read_json
from dgn.report.animation import save_animation
from dgn.report.comparison_figure import comparison_figure
from dgn.studies.base import Figure, Measurement, Numbers, Study
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, Verdict, over_seeds, verdict

log = logging.getLogger(__name__)

EVIDENCE = "evidence.json"
_KEPT = "kept"


@dataclass(frozen=True)
class Evidence:
    """What a study found.

    Attributes:
        name: the study's name.
        title, source, claim, measured, varies: the study's.
        statements: the parts of the claim, with what was found.
        verdict: on the claim.
        seeds: which were run.
        table: (row, {figure: (mean, low, high)}).
        figures: [{name, file, caption, film}], files relative to the folder.
        curves: {line: the means over seeds}, and `axis` what is on the horizontal axis.
        axis: see `curves`.
        seconds: of all seeds, without what was trained earlier.
        settings: of the run, as text by key.
        command: that makes it.
        trainings: what was trained for it, in this run or before, and what that took.
    """

    name: str
    title: str
    source: str
    claim: str
    measured: str
    varies: str
    statements: list[dict[str, Any]]
    verdict: Verdict
    seeds: list[int]
    table: list[tuple[str, dict[str, Any]]]
    figures: list[dict[str, Any]]
    curves: dict[str, list[float]]
    axis: str
    seconds: float
    settings: dict[str, Any]
    command: str
    trainings: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Writes evidence.json."""
        write_whole(folder / EVIDENCE, json.dumps(asdict(self), indent=1) + "\n")


def read_evidence(folder: Path) -> Evidence | None:
    """Returns what a study's folder holds; None if the study has not finished there."""
    path = folder / EVIDENCE
    return Evidence(**read_json(path, "study's evidence")) if path.is_file() else None


def run_study(
    name: str,
    study: Study,
    make_lab: Callable[[], Lab],
    seeds: Sequence[int],
    folder: Path,
    key: str,
    settings: Mapping[str, Any],
    command: str,
) -> Evidence:
    """Runs a study with every seed, draws its figures and returns its evidence.

    Args:
        name: the study's name.
        study: the study.
        make_lab: makes what it computes with, when the first seed is measured.
        seeds: the seeds.
        folder: of the run.
        key: identifies the settings; results kept with another key are not used.
        settings: of the run.
        command: that makes it.
    """
    results: list[dict[str, Any]] = []
    lab: Lab | None = None
    for i, seed in enumerate(seeds):
        path = folder / _KEPT / f"seed-{seed}.json"
        kept = read_json(path, "seed's numbers") if path.is_file() else {}
        if kept.get("key") != key:
            began = time.perf_counter()
            if lab is None:
                lab = make_lab()
            log.info("Study %s, seed %d (%d of %d)", name, seed, i + 1, len(seeds))
            torch.manual_seed(seed)
            measurement = study.measure(lab, seed)
            kept = _keep(measurement, folder, i == 0) | {"key": key, "seconds": time.perf_counter() - began}
            kept["trainings"] = list(lab.trainings.used)
            write_whole(path, json.dumps(kept, indent=1) + "\n")
        results.append(kept)
    numbers = Numbers([result["numbers"] for result in results])
    statements = study.statements(numbers)
    return Evidence(
        name=name,
        title=study.title,
        source=study.source,
        claim=study.claim,
        measured=study.measured,
        varies=study.varies,
        statements=[_as_dict(statement) for statement in statements],
        verdict=verdict(statements),
        seeds=list(seeds),
        table=_table(numbers),
        figures=results[0]["figures"],
        curves=_means([result["curves"] for result in results]),
        axis=results[0]["axis"],
        seconds=round(sum(result["seconds"] for result in results), 1),
        settings=dict(settings),
        command=command,
        trainings=list(dict.fromkeys(text for result in results for text in result.get("trainings", []))),
    )


def _keep(measurement: Measurement, folder: Path, first: bool) -> dict[str, Any]:
    """Returns a measurement as plain values; draws its figures if it is the first seed's."""
    figures = [_draw(figure, folder) for figure in measurement.figures] if first else []
    numbers = {name: float(value) for name, value in measurement.numbers.items()}
    curves = {name: [float(value) for value in values] for name, values in measurement.curves.items()}
    return {"numbers": numbers, "figures": figures, "curves": curves, "axis": measurement.axis}


def _draw(figure: Figure, folder: Path) -> dict[str, Any]:
    file = f"figures/{figure.name}.png"
    sheet = comparison_figure(figure.images, figure.rows, figure.columns, scale=None)
    with written_aside(folder / file) as aside:
        sheet.save(aside, format="PNG", compress_level=6)
    film = ""
    if figure.moves:
        film = f"figures/{figure.name}.gif"
        frames = figure.images.unflatten(0, (len(figure.rows), len(figure.columns))).transpose(0, 1)
        save_animation(folder / film, frames, seconds=0.8 * len(figure.columns))
    return {"name": figure.name, "file": file, "size": list(sheet.size), "caption": figure.caption, "film": film}


def _table(numbers: Numbers) -> list[tuple[str, dict[str, Any]]]:
    table = []
    for row in numbers.rows:
        cells: dict[str, Any] = {}
        for figure in numbers.figures:
            estimate = over_seeds(numbers(f"{row}/{figure}"))
            if estimate is not None:
                cells[figure] = [estimate.value, estimate.low, estimate.high]
        table.append((row, cells))
    return table


def _means(curves: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    names = [name for name in curves[0] if all(len(seed.get(name, ())) == len(curves[0][name]) for seed in curves)]
    return {name: np.mean([seed[name] for seed in curves], axis=0).tolist() for name in names}


def _as_dict(statement: Statement) -> dict[str, Any]:
    estimate = statement.estimate
    ends = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    values = [value if math.isfinite(value) else None for value in statement.values]
    found = dict(zip(("value", "low", "high"), ends, strict=True))
    return (
        {"text": statement.text, "quantity": statement.quantity, "values": values}
        | found
        | {"outcome": statement.outcome}
    )
