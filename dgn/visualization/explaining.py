"""What the approaches' images explain: predictive power and path similarity, for rows of the table of scores."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.data.reference import Reference
from dgn.metrics.paths import PathSimilarity, path_similarity, unit_images
from dgn.metrics.predictive import REAL_STRONGEST, Explanations, Prediction, PredictivePower, explanations_by_unit
from dgn.metrics.scorer import class_index
from dgn.metrics.scores import REAL, Measured
from dgn.metrics.similarity import Similarity
from dgn.networks.featurenet import FeatureNet
from dgn.visualization.settings import PredictiveSettings

log = logging.getLogger(__name__)

REFERENCES = 9
"""Explanations of each kind in the papers; with fewer seeds, the real images are as few."""


@dataclass(frozen=True)
class Explained:
    """A row of the table, with the images that it is of.

    Attributes:
        measured: the row.
        preferred: its images.
        minimized: images of the negated objectives, by the same method; None: there are none.
    """

    measured: Measured
    preferred: Preferred
    minimized: Preferred | None = None


def add_predictive_power(
    rows: Sequence[Explained],
    target: FeatureNet,
    objectives: Sequence[Objective],
    reference: Reference,
    similarity: Similarity,
    settings: PredictiveSettings,
    per_unit: int,
) -> list[Measured]:
    """Returns the rows with the figures `2afc` and `mis`, and `causal` if the settings ask for it.

    Minimizing images explain only if every method has them for every unit, so that all rows answer the same task. The
    row of real images, if there is one, is answered with the units' strongest and weakest real images.

    Args:
        rows: of the methods, their starts, and real images.
        target: the network whose units were maximized.
        objectives: the objectives.
        reference: the real images.
        similarity: compares images.
        settings: how it is measured.
        per_unit: the number of images of each unit.
    """
    shown = {i: explanations_by_unit(row.preferred, row.minimized) for i, row in enumerate(rows) if not _is_real(row)}
    if not all(_has_weak(of_units) for of_units in shown.values()):
        if settings.minimize:
            log.info("2AFC and MIS are measured without minimizing images: some units or methods have none")
        shown = {i: {unit: replace(e, weak=None) for unit, e in units.items()} for i, units in shown.items()}
    measured = [row.measured for row in rows]
    references = min(REFERENCES, per_unit)
    for causal in (False, True) if settings.causal else (False,):
        power = PredictivePower(
            target, objectives, reference.images, similarity, settings.tasks, references, causal=causal
        )
        predictions = power.measure({str(i): of_units for i, of_units in shown.items()})
        real = REAL if all(_has_weak(of_units) for of_units in shown.values()) else REAL_STRONGEST
        answers = [predictions[real if _is_real(row) else str(i)] for i, row in enumerate(rows)]
        measured = [_with_answers(row, answer, causal) for row, answer in zip(measured, answers, strict=True)]
    return measured


def _with_answers(row: Measured, prediction: Prediction, causal: bool) -> Measured:
    figures = {"causal": prediction.accuracy} if causal else prediction.per_unit
    ordered = {name: _in_order(prediction.units, values, row.units) for name, values in figures.items()}
    return replace(row, per_unit={**row.per_unit, **ordered})


def add_path_similarity(
    rows: Sequence[Explained],
    measured: Sequence[Measured],
    target: FeatureNet,
    objectives: Sequence[Objective],
    reference: Reference,
) -> tuple[list[Measured], list[PathSimilarity]]:
    """Returns the rows with the figure `paths`, and the path similarity of each over layers.

    Args:
        rows: of the methods, their starts, and real images.
        measured: their figures so far.
        target: the network whose units were maximized.
        objectives: the objectives.
        reference: the real images.
    """
    classes = {str(o): label for o in objectives if (label := class_index(o, reference.classes)) is not None}
    labels = torch.cat([labels for _, labels in reference()]).tolist()
    real = unit_images(target, objectives, reference.images, labels, classes)
    methods = {
        str(i): {unit: e.strong for unit, e in explanations_by_unit(row.preferred).items()}
        for i, row in enumerate(rows)
    }
    similarities = list(path_similarity(target, methods, real).values())
    with_paths = []
    for row, paths in zip(measured, similarities, strict=True):
        values = _in_order(paths.units, paths.per_unit, row.units)
        with_paths.append(replace(row, per_unit={**row.per_unit, "paths": values}))
    return with_paths, similarities


def _is_real(row: Explained) -> bool:
    return row.measured.method == REAL


def _has_weak(of_units: Mapping[str, Explanations]) -> bool:
    return all(e.weak is not None and len(e.weak) > 0 for e in of_units.values())


def _in_order(units: Sequence[str], values: np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    """Returns the values of the wanted units; NaN for those without one."""
    known = dict(zip(units, values.tolist(), strict=True))
    return np.array([known.get(unit, np.nan) for unit in wanted])
