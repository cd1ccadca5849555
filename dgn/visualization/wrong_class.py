"""Searches from another class: the search's own merit, apart from what its start shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.am.starts import Starts
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.metrics.recognition import judge_images
from dgn.metrics.scorer import class_index
from dgn.networks.featurenet import FeatureNet


def class_units(objectives: Sequence[Objective], classes: Sequence[str]) -> list[Objective]:
    """Returns the objectives that are units of a class of the real images."""
    return [objective for objective in objectives if class_index(objective, classes) is not None]


def check_wrong_class_starts(
    objectives: Sequence[Objective], judge: FeatureNet | None, reference: Reference | None
) -> None:
    """Raises UserError if searches from another class cannot be measured."""
    if judge is None or reference is None or len(class_units(objectives, reference.classes)) < 2:
        raise UserError(
            "wrong_class_start=true needs a judge, real images, and units of at least two of their classes: "
            "give judge=, data= and units=, or leave it out"
        )


def exchanged(starts: Starts, objectives: Sequence[Objective], seeds: int) -> Starts:
    """Returns starts in which each objective has those of others: seed s of objective i those of i + 1 + s.

    Args:
        starts: of the objectives, near real images of their own class.
        objectives: at least two, of different classes.
        seeds: the number of seeds of each objective.
    """
    return replace(
        starts,
        images=_exchanged(starts.images, objectives, seeds) if starts.images else {},
        codes=_exchanged(starts.codes, objectives, seeds) if starts.codes else {},
    )


def share_recognized(judge: FeatureNet, preferred: Preferred, units: Sequence[str]) -> np.ndarray:
    """Returns the share of each unit's images that the judge takes for the class that was searched, (units,).

    NaN for units without images or without a label that the judge has.
    """
    verdicts = judge_images(judge, preferred.images, [objective.wanted for objective in preferred.objectives])
    hits: dict[str, list[float]] = {}
    for objective, verdict, succeeded in zip(preferred.objectives, verdicts, preferred.found, strict=True):
        first = verdict.top(1)
        if first is not None:
            hits.setdefault(str(objective), []).append(float(first and succeeded))
    return np.array([np.mean(hits[unit]) if unit in hits else np.nan for unit in units])


def _exchanged(own: Mapping[Objective, Tensor], objectives: Sequence[Objective], seeds: int) -> dict[Objective, Tensor]:
    count = len(objectives)
    exchanged = {}
    for i, objective in enumerate(objectives):
        others = [objectives[(i + 1 + s % (count - 1)) % count] for s in range(seeds)]
        exchanged[objective] = torch.stack([own[other][s % len(own[other])] for s, other in enumerate(others)])
    return exchanged
