"""A gallery with numbers: the searches of all approaches, their scores, and the pages that show them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference
from dgn.files import write_whole
from dgn.inspection import Embedding
from dgn.metrics.scores import Scores
from dgn.metrics.similarity import Similarity
from dgn.metrics.summary import markdown
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.gallery import write_gallery
from dgn.report.results import Row
from dgn.runs.folders import EVOLUTION, SEARCHES
from dgn.visualization.approaches import Approach
from dgn.visualization.films import Films
from dgn.visualization.gallery_contents import make_rows, make_traces, path_curves
from dgn.visualization.image_map import make_image_map
from dgn.visualization.live_evolution import end_page
from dgn.visualization.score_table import comparison
from dgn.visualization.scoring import Explaining, ScoredResult, layers_to_compare, score
from dgn.visualization.search import Purpose, search
from dgn.visualization.search_store import SearchStore
from dgn.visualization.settings import Visualization
from dgn.visualization.starts import near_real, start_images
from dgn.visualization.unit_notes import describe_units
from dgn.visualization.wrong_class import class_units, exchanged, share_recognized

if TYPE_CHECKING:  # scikit-learn takes seconds to import
    from dgn.visualization.facets import UnitFacets

log = logging.getLogger(__name__)

_MINIMIZING = Purpose(
    "Searching the same units' minimizing images, for predictive power",
    "predictive.minimize=false or predictive.tasks=0 leave them out",
)
_WRONG_CLASS = Purpose(
    "Searching from real images of other classes", "wrong_class_start=false leaves it out; fewer units= or seeds="
)


@dataclass(frozen=True)
class GalleryInputs:
    """What a visualization computes with.

    Attributes:
        target: the network whose units are maximized.
        objectives: the objectives.
        approaches: the methods and priors that show them.
        priors: the priors.
        judge: the network that recognizes what images show, if there is one.
        similarity: compares images for predictive power; None: that is not measured.
        data: the real images on which methods measure statistics, if any are known.
        reference: the real images that preferred images are compared with, if there are any.
        embedding: lays real images out on the map of the units' pages; None: there is no map.
    """

    target: FeatureNet
    objectives: Sequence[Objective]
    approaches: Sequence[Approach]
    priors: Sequence[Prior]
    judge: FeatureNet | None
    similarity: Similarity | None
    data: ImageData | None
    reference: Reference | None
    embedding: Embedding | None = None


def make_gallery(
    asked: Visualization, inputs: GalleryInputs, folder: Path, settings: Mapping[str, Any], command: str
) -> tuple[Path, list[Row]]:
    """Maximizes the objectives by every approach, measures the images, and writes the gallery.

    The finished searches are kept in the folder (`searches`), and those that it holds are not run again.

    Args:
        asked: what the run is asked to do.
        inputs: what it computes with.
        folder: the run folder.
        settings: the run's settings, for its pages and results.json.
        command: the command that reproduces the run.

    Returns:
        The path of the page, and the rows of its table.
    """
    target, reference = inputs.target, inputs.reference
    layers = layers_to_compare(target, inputs.priors, asked.nearest)
    facets = _find_facets(asked, inputs)
    films = [make_films(asked, inputs, approach, folder) for approach in inputs.approaches]
    near = _images_to_start_near(inputs, inputs.objectives)
    results = []
    for i, (approach, film) in enumerate(zip(inputs.approaches, films, strict=True)):
        _announce(approach, inputs, asked)
        starts = _find_starts(approach, asked, inputs, facets, near)
        kept = searches(folder, "preferred", i, approach)
        results.append(search(approach, target, inputs.objectives, asked.search, inputs.data, starts, film, kept))
    explaining = _explaining(asked, inputs, folder)
    scored, scores, paths = score(
        results, target, inputs.judge, reference, layers, len(asked.search.seeds), asked.nearest_images, explaining
    )
    scores = _with_wrong_class_starts(scores, asked, inputs, folder)
    notes = {} if reference is None else describe_units(asked.notes, target, inputs.objectives, reference)
    image_map = None
    if reference is not None and inputs.embedding is not None:
        image_map = make_image_map(target, notes, reference, inputs.embedding, asked.notes.map_images)
    if facets:
        from dgn.visualization.facets import add_facets, write_facets

        notes = add_facets(notes, facets, reference)
        made = {result.title: (result.preferred.images, result.preferred.objectives) for result in scored}
        write_facets(folder, facets, reference, inputs.judge, made)
    rows = make_rows(scored, facets, layers[0], several=len(inputs.approaches) > 1)
    page = write_gallery(
        folder,
        rows,
        [image for result in scored for image in result.preferred.images],
        {**settings, **facts(inputs, scored)},
        asked.title or f"What {target.name} prefers to see",
        command,
        traces=make_traces(scored, films, target, reference, asked.search.seed),
        units=notes,
        comparison=comparison(scores, layers[0], explaining.similarity if explaining is not None else None),
        paths=path_curves(inputs.approaches, paths),
        image_map=image_map,
    )
    end_page(folder, folder / EVOLUTION)
    scores.write(folder)
    write_whole(folder / "scores.md", markdown(scores))
    for result in scored:
        _log_result(result)
    return page, rows


def _find_facets(asked: Visualization, inputs: GalleryInputs) -> dict[Objective, UnitFacets]:
    if asked.facets is None:
        return {}
    from dgn.visualization.facets import find_unit_facets
    from dgn.visualization.sampled_facets import find_sampled_facets

    if asked.facets.source == "samples":
        return find_sampled_facets(asked.facets, inputs.target, inputs.objectives, inputs.priors)
    return find_unit_facets(asked.facets, inputs.target, inputs.objectives, inputs.reference)


def searches(folder: Path, kind: str, number: int, approach: Approach) -> SearchStore:
    """Returns what keeps the searches of a kind, of the approach of that number, in a run folder."""
    return SearchStore(folder / SEARCHES / f"{number}-{kind}", run=folder, method=approach.title)


def make_films(asked: Visualization, inputs: GalleryInputs, approach: Approach, folder: Path) -> Films | None:
    """Returns what writes the films of an approach; None if none are wanted."""
    if asked.video is None:
        return None
    return Films(folder, approach.folder if len(inputs.approaches) > 1 else "", asked.video)


def _find_starts(
    approach: Approach,
    asked: Visualization,
    inputs: GalleryInputs,
    facets: Mapping[Objective, UnitFacets],
    near: Mapping[Objective, Sequence[int]],
) -> Starts | None:
    """Returns where the searches of each objective start; None if the approach's `start` alone says."""
    if facets:
        from dgn.visualization.facets import starts_in_facets

        return starts_in_facets(facets, approach.prior)
    if approach.start == "real":
        assert inputs.reference is not None  # checked by `choose_start`
        return near_real(inputs.target, approach.prior, near, asked.search.shifted_seeds, inputs.reference)
    return None


def _images_to_start_near(inputs: GalleryInputs, objectives: Sequence[Objective]) -> dict[Objective, list[int]]:
    """Returns the places of the real images that searches of start=real start near; {} if there are none."""
    if inputs.reference is None or all(approach.start != "real" for approach in inputs.approaches):
        return {}
    return start_images(inputs.target, objectives, inputs.reference)


def _explaining(asked: Visualization, inputs: GalleryInputs, folder: Path) -> Explaining | None:
    """Searches what excites the units least, by every approach, for the measure of predictive power."""
    if asked.predictive is None or inputs.similarity is None or inputs.reference is None:
        return None
    minimized: list[Preferred | None] = [None] * len(inputs.approaches)
    if asked.predictive.minimize and asked.facets is None:
        negated = [-objective for objective in inputs.objectives]
        near = _images_to_start_near(inputs, negated)
        for i, approach in enumerate(inputs.approaches):
            what = "the same units' minimizing images, for predictive power (of a silent unit, the start)"
            log.info("%s: %s", approach.method.name, what)
            starts = _find_starts(approach, asked, inputs, {}, near)
            kept = searches(folder, "minimizing", i, approach)
            minimized[i] = search(
                approach, inputs.target, negated, asked.search, inputs.data, starts, kept=kept, purpose=_MINIMIZING
            ).preferred
    return Explaining(inputs.similarity, asked.predictive, minimized)


def _with_wrong_class_starts(scores: Scores, asked: Visualization, inputs: GalleryInputs, folder: Path) -> Scores:
    """Adds the figure `wrong_class_start` to the approaches' rows: the share of searches that end in their class."""
    reference = inputs.reference
    if not asked.wrong_class_start or reference is None or inputs.judge is None:
        return scores
    near = start_images(inputs.target, class_units(inputs.objectives, reference.classes), reference)
    units = list(near)
    if len(units) < 2:
        log.warning("wrong_class_start: fewer than two classes have real images; it is not measured")
        return scores
    rows = list(scores.rows)
    for i, approach in enumerate(inputs.approaches):
        log.info("%s: from real images of other classes", approach.method.name)
        own = near_real(inputs.target, approach.prior, near, asked.search.shifted_seeds, reference)
        starts = exchanged(own, units, len(asked.search.seeds))
        kept = searches(folder, "wrong-class", i, approach)
        real = replace(approach, start="real")
        result = search(real, inputs.target, units, asked.search, inputs.data, starts, kept=kept, purpose=_WRONG_CLASS)
        share = share_recognized(inputs.judge, result.preferred, rows[i].units)
        rows[i] = replace(rows[i], per_unit={**rows[i].per_unit, "wrong_class_start": share})
    return replace(scores, rows=rows)


def _announce(approach: Approach, inputs: GalleryInputs, asked: Visualization) -> None:
    through = ""
    if approach.prior is not None:
        through = f", through the prior of {approach.name} ({approach.prior.source})"
    counts = len(inputs.objectives), len(asked.search.seeds)
    log.info("%s: %d objectives x %d seeds in %s%s", approach.method.name, *counts, inputs.target.name, through)


def facts(inputs: GalleryInputs, results: Sequence[ScoredResult]) -> dict[str, Any]:
    """Returns what results.json states of a run beside its settings."""
    seconds = sum(result.search.seconds * len(result.preferred.images) for result in results)
    return {
        "methods": [approach.started_method.settings for approach in inputs.approaches],
        "prior": _one_or_all([prior.source for prior in inputs.priors]),
        "prior_layer": _one_or_all([prior.layer for prior in inputs.priors]),
        "target": inputs.target.name,
        "steps": _one_or_all([len(result.preferred.curve) for result in results]),
        "start": _one_or_all([" and ".join(dict.fromkeys(result.preferred.starts)) for result in results]),
        "search_seconds": round(seconds, 1),
    }


def _one_or_all(values: Sequence[str | int]) -> str | int | list[str | int] | None:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else list(values) or None


def _log_result(result: ScoredResult) -> None:
    verdicts = zip(result.scores.verdicts or (), result.preferred.found, strict=False)
    firsts = [verdict.top(1) for verdict, valid in verdicts if valid]
    judged = [first for first in firsts if first is not None]
    recognized = f"; {sum(judged)} of {len(judged)} recognized by the judge" if judged else ""
    count = len(result.preferred.images)
    seconds = count * result.search.seconds
    log.info("%s: %d preferred images in %.1f s%s", result.title, count, seconds, recognized)
