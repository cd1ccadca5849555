"""The scores of the approaches' preferred images, and of real images in their place."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.data.reference import Reference, TrainingImages
from dgn.errors import UserError
from dgn.metrics.neighbours import code_spaces
from dgn.metrics.paths import PathSimilarity
from dgn.metrics.scorer import ImageScores, Scorer
from dgn.metrics.scores import REAL, Measured, Scores
from dgn.metrics.similarity import Similarity
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.visualization.explaining import Explained, add_path_similarity, add_predictive_power
from dgn.visualization.search import SearchResult
from dgn.visualization.settings import PredictiveSettings

log = logging.getLogger(__name__)

NOT_SEARCHED = "start, not searched"
"""What the row of an approach's starts is called, after the method's name."""
_HELD_OUT = 512
"""Largest number of real images, none of the reference, from which the table's last row is made."""


@dataclass(frozen=True)
class ScoredResult:
    """What the searches of an approach gave, with their scores.

    Attributes:
        search: the result of the searches.
        measured: its row of the table of scores.
        scores: the scores of each image.
        start: the scores of what the searches began at; None if it was not recorded.
    """

    search: SearchResult
    measured: Measured
    scores: ImageScores
    start: ImageScores | None = None

    @property
    def title(self) -> str:
        """The approach's title."""
        return self.search.approach.title

    @property
    def preferred(self) -> Preferred:
        """The preferred images."""
        return self.search.preferred


@dataclass(frozen=True)
class Explaining:
    """How it is measured what images explain.

    Attributes:
        similarity: compares images, for predictive power; None: predictive power is not measured.
        settings: how predictive power is measured.
        minimized: for each approach, the images of the negated objectives; None: there are none.
    """

    similarity: Similarity | None
    settings: PredictiveSettings
    minimized: Sequence[Preferred | None]


def score(
    results: Sequence[SearchResult],
    target: FeatureNet,
    judge: FeatureNet | None,
    reference: Reference | None,
    layers: Sequence[str],
    per_unit: int,
    nearest_images: int | Literal["all"],
    explaining: Explaining | None = None,
) -> tuple[list[ScoredResult], Scores, list[PathSimilarity]]:
    """Scores the preferred images of all approaches by the same code, and real images in the last row.

    An approach whose searches did not start from noise has a second row: its starts, not searched.

    Args:
        results: of the approaches' searches, for the same objectives.
        target: the network whose units were maximized.
        judge: the network that recognizes what the images show, if there is one.
        reference: the real images, if any are known.
        layers: the target's layers in whose codes the nearest real image is searched.
        per_unit: the number of real images of each unit in the last row.
        nearest_images: how many training images of each class the nearest is searched among; 0: it is not.
        explaining: how predictive power is measured; None: it is not.

    Returns:
        The scored results, the table, and the path similarity of each approach; [] without real images.
    """
    held_out = reference.held_out(_HELD_OUT) if reference is not None else None
    classes = reference.classes if reference is not None else ()
    of_class = None if nearest_images == "all" else nearest_images
    training = TrainingImages(reference, of_class) if reference is not None else None
    scorer = Scorer(target, judge, reference, classes, held_out, layers if reference is not None else [], training)
    real = _real_instead(scorer, results[0].preferred.objectives, per_unit)
    sets = [*(result.preferred for result in results), *real]
    nearest = scorer.nearest_real(sets) if nearest_images != 0 else [{}] * len(sets)
    scored, rows, start_rows = [], [], []
    minimized = explaining.minimized if explaining is not None else [None] * len(results)
    for result, near, weak in zip(results, nearest, minimized, strict=False):
        steps, seconds = len(result.preferred.curve), round(result.seconds, 3)
        name, prior = result.approach.method.name, result.approach.name
        layer = result.approach.prior.layer if result.approach.prior is not None else ""
        start = " and ".join(dict.fromkeys(result.preferred.starts))
        measured, scores = scorer.measure(result.preferred, name, prior, steps, seconds, near)
        begun = result.preferred.unsearched()
        start_scores = None
        if begun is not None:
            start_row, start_scores = scorer.measure(begun, f"{name}: {NOT_SEARCHED}", prior, near={})
            if start != "noise":
                weak_start = weak.unsearched() if weak is not None else None
                start_rows.append(Explained(replace(start_row, start=start, layer=layer), begun, weak_start))
        rows.append(Explained(replace(measured, start=start, layer=layer), result.preferred, weak))
        scored.append(ScoredResult(result, measured, scores, start_scores))
    real_rows = [Explained(scorer.measure(images, REAL, near=nearest[-1])[0], images) for images in real]
    measured_rows, paths = _explained([*rows, *start_rows, *real_rows], target, reference, explaining, per_unit)
    return scored, Scores(measured_rows), paths[: len(rows)]


def _explained(
    rows: Sequence[Explained],
    target: FeatureNet,
    reference: Reference | None,
    explaining: Explaining | None,
    per_unit: int,
) -> tuple[list[Measured], list[PathSimilarity]]:
    """Returns the rows with predictive power and path similarity, and the latter over layers."""
    measured = [row.measured for row in rows]
    if reference is None:
        return measured, []
    objectives = list(dict.fromkeys(rows[0].preferred.objectives))
    if explaining is not None and explaining.similarity is not None:
        measured = add_predictive_power(
            rows, target, objectives, reference, explaining.similarity, explaining.settings, per_unit
        )
    return add_path_similarity(rows, measured, target, objectives, reference)


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
