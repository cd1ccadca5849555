"""The scores of the approaches' preferred images, and of real images in their place."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.data.reference import Reference, TrainingImages
from dgn.errors import UserError
from dgn.metrics.neighbours import code_spaces
from dgn.metrics.scorer import REAL, ImageScores, Scorer
from dgn.metrics.scores import Measured, Scores
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.visualization.search import SearchResult

log = logging.getLogger(__name__)

_HELD_OUT = 512
"""Largest number of real images, none of the reference, from which the table's last row is made."""


@dataclass(frozen=True)
class ScoredResult:
    """What the searches of an approach gave, with their scores.

    Attributes:
        search: the result of the searches.
        measured: its row of the table of scores.
        scores: the scores of each image.
    """

    search: SearchResult
    measured: Measured
    scores: ImageScores

    @property
    def title(self) -> str:
        """The approach's title."""
        return self.search.approach.title

    @property
    def preferred(self) -> Preferred:
        """The preferred images."""
        return self.search.preferred


def score(
    results: Sequence[SearchResult],
    target: FeatureNet,
    judge: FeatureNet | None,
    reference: Reference | None,
    layers: Sequence[str],
    per_unit: int,
    nearest_images: int | Literal["all"],
) -> tuple[list[ScoredResult], Scores]:
    """Scores the preferred images of all approaches by the same code, and real images in the last row.

    Args:
        results: of the approaches' searches, for the same objectives.
        target: the network whose units were maximized.
        judge: the network that recognizes what the images show, if there is one.
        reference: the real images, if any are known.
        layers: the target's layers in whose codes the nearest real image is searched.
        per_unit: the number of real images of each unit in the last row.
        nearest_images: how many training images of each class the nearest is searched among; 0: it is not.
    """
    held_out = reference.held_out(_HELD_OUT) if reference is not None else None
    classes = reference.classes if reference is not None else ()
    of_class = None if nearest_images == "all" else nearest_images
    training = TrainingImages(reference, of_class) if reference is not None else None
    scorer = Scorer(target, judge, reference, classes, held_out, layers if reference is not None else [], training)
    real = _real_instead(scorer, results[0].preferred.objectives, per_unit)
    sets = [*(result.preferred for result in results), *real]
    nearest = scorer.nearest_real(sets) if nearest_images != 0 else [{}] * len(sets)
    scored = []
    for result, near in zip(results, nearest, strict=False):
        steps, seconds = len(result.preferred.curve), round(result.seconds, 3)
        approach = result.approach
        measured, scores = scorer.measure(result.preferred, approach.method.name, approach.name, steps, seconds, near)
        scored.append(ScoredResult(result, measured, scores))
    reference_rows = [scorer.measure(preferred, REAL, near=nearest[-1])[0] for preferred in real]
    return scored, Scores([result.measured for result in scored] + reference_rows)


def layers_to_compare(
    target: FeatureNet, priors: Sequence[Prior], nearest: Sequence[str] | Literal["all"]
) -> list[str]:
    """Returns the target's layers in whose codes the nearest real image is searched.

    The first, which the tables show, is the layer that a prior of the target inverts, or else the target's code layer.

    Args:
        target: the network whose units are maximized.
        priors: the priors.
        nearest: the other layers; "all": the target's main layers.
    """
    main = target.code_layer()
    for prior in priors:
        if prior.encoder_is(target):
            main = prior.layer
            break
    others = code_spaces(target) if nearest == "all" else nearest
    names = {layer: target.layer(layer).name for layer in others}
    return [main, *(layer for layer in others if names[layer] != target.layer(main).name)]


def _real_instead(scorer: Scorer, objectives: Sequence[Objective], count: int) -> list[Preferred]:
    """Returns the held-out real images of the table's last row, or nothing if there are none."""
    if scorer.held_out is None:
        return []
    try:
        return [scorer.real_instead(objectives, count)]
    except UserError as error:
        log.info("No row of real images: %s", error)
        return []
