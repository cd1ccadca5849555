"""What the gallery shows of each search: a row of its table, and a trace."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.data.reference import Reference
from dgn.files import image_name
from dgn.metrics.neighbours import PIXELS, Nearest
from dgn.metrics.paths import PathSimilarity
from dgn.networks.featurenet import FeatureNet
from dgn.report.contents import PathCurves, RealImage, Trace
from dgn.report.results import Row
from dgn.visualization.approaches import Approach
from dgn.visualization.films import Films
from dgn.visualization.scoring import ScoredResult
from dgn.visualization.unit_notes import receptive_box

if TYPE_CHECKING:  # scikit-learn takes seconds to import
    from dgn.visualization.facets import UnitFacets


def make_rows(
    results: Sequence[ScoredResult], facets: Mapping[Objective, "UnitFacets"], code_layer: str, several: bool
) -> list[Row]:
    """Returns the row of each preferred image.

    Args:
        results: of every approach.
        facets: in which the searches started; {} if they did not.
        code_layer: the layer in whose codes the distance to the nearest real image is listed.
        several: whether the run has several approaches, whose images are in folders of their own.
    """
    rows = []
    for result in results:
        folder = f"images/{result.search.approach.folder}" if several else "images"
        correlations = result.preferred.correlation_with_start()
        for i in range(len(result.preferred.images)):
            correlation = None if correlations is None else float(correlations[i])
            rows.append(_make_row(result, i, folder, facets, code_layer, correlation))
    return rows


def make_traces(
    results: Sequence[ScoredResult],
    films: Sequence[Films | None],
    target: FeatureNet,
    reference: Reference | None,
    seed: int,
) -> list[Trace]:
    """Returns what the gallery shows of each search beyond its row.

    Args:
        results: of every approach.
        films: of each approach's searches, if there are any.
        target: the network whose units were maximized.
        reference: the real images, if any are known.
        seed: the number by which seeds are shifted.
    """
    pool = _nearest_images(results, reference)
    traces = []
    for result, of_approach in zip(results, films, strict=True):
        preferred = result.preferred
        curves = preferred.curve.T.tolist() if len(preferred.curve) else [[]] * len(preferred.images)
        height, width = preferred.images.shape[-2:]
        for i, objective in enumerate(preferred.objectives):
            near: list[RealImage] = []
            if reference is not None and preferred.found[i]:
                near = _nearest_real_images(result.scores.nearest, i, pool, reference)
            film = of_approach.find(objective, seed + preferred.seeds[i]) if of_approach is not None else None
            start = preferred.start_images[i] if preferred.start_images is not None else None
            box = receptive_box(target, objective, (height, width))
            curve = curves[i][: preferred.steps[i]]
            traces.append(Trace(curve, near, film, box, None if start is None else start.float().div(255)))
    return traces


def path_curves(approaches: Sequence[Approach], paths: Sequence[PathSimilarity]) -> PathCurves | None:
    """Returns the path similarity of each approach over the target's layers, for the page; None if not measured."""
    if not paths:
        return None
    curves = [(a.title, p.curve.tolist()) for a, p in zip(approaches, paths, strict=True)]
    return PathCurves(paths[0].layers, curves)


def _make_row(
    result: ScoredResult,
    i: int,
    folder: str,
    facets: Mapping[Objective, "UnitFacets"],
    code_layer: str,
    correlation: float | None,
) -> Row:
    preferred, scores, approach = result.preferred, result.scores, result.search.approach
    objective, seed, outcome = preferred.objectives[i], preferred.seeds[i], preferred.outcomes[i]
    verdict = scores.verdicts[i] if scores.verdicts and outcome.found else None
    start_verdict = result.start.verdicts[i] if result.start is not None and result.start.verdicts else None
    distances = {space: float(near.distances[i]) for space, near in scores.nearest.items()} if outcome.found else {}
    return Row(
        layer="+".join(objective.layers),
        unit="+".join(term.short for _, term in objective.terms),
        label=objective.label if any(term.label for _, term in objective.terms) else "",
        seed=seed,
        method=approach.method.name,
        activation=float(preferred.activations[i]) if outcome.found else math.nan,
        percentile=scores.percentiles[i] if scores.percentiles and outcome.found else None,
        judge_label=verdict.label if verdict else "",
        judge_probability=verdict.probability if verdict else None,
        recognized=verdict.top(1) if verdict else None,
        image=f"{folder}/{image_name(str(objective), seed)}",
        objective=str(objective),
        prior=approach.name,
        facet=facets[objective].name(seed) if objective in facets else "",
        judge_top5=verdict.top(5) if verdict else None,
        nearest_pixels=distances.get(PIXELS),
        nearest_code=distances.get(code_layer),
        steps=preferred.steps[i],
        seconds=round(result.search.seconds, 3),
        note=outcome.note,
        start=preferred.starts[i],
        start_activation=None if preferred.start_activations is None else float(preferred.start_activations[i]),
        start_recognized=start_verdict.top(1) if start_verdict else None,
        image_correlation_with_start=correlation if outcome.found else None,
        tries=preferred.tries[i],
    )


def _nearest_images(results: Sequence[ScoredResult], reference: Reference | None) -> dict[int, Tensor]:
    """Returns the real images nearest to any preferred one, (3, H, W), by their indices in the reference."""
    spaces = [near for result in results for near in result.scores.nearest.values()]
    indices = {index for near in spaces for index in near.indices.tolist() if index >= 0}
    if reference is None or not indices:
        return {}
    return {index: image.half() for index, image in reference.images_at(indices).items()}


def _nearest_real_images(
    nearest: Mapping[str, Nearest], i: int, pool: Mapping[int, Tensor], reference: Reference
) -> list[RealImage]:
    """Returns the real images nearest to preferred image i, one for each space."""
    images = []
    for space, near in nearest.items():
        index = int(near.indices[i])
        if index < 0:  # there is no real image of its class, or its activations are not finite
            continue
        label = reference.label(index)
        caption = f"{space}: {label}" if label else space
        images.append(RealImage(pool[index], caption, distance=float(near.distances[i])))
    return images
