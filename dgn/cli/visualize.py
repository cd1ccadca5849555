"""visualize.py: from methods, priors and a list of units to a gallery with numbers."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from torch import Tensor

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.cli.config import command_line, given_overrides, plain
from dgn.cli.networks import asked_to_list, network, print_layers
from dgn.cli.roles import judge_of, load_prior, priors_of, reference_data, seeds_of, target_of, units_of
from dgn.cli.search import Contender, contenders_of, search
from dgn.cli.tracking import track
from dgn.data.reference import Reference
from dgn.devices import device_of
from dgn.errors import UserError
from dgn.files import file_stem, image_name
from dgn.metrics.neighbours import PIXELS, code_spaces
from dgn.metrics.scorer import REAL, ImageScores, Scorer
from dgn.metrics.scores import Measured, Scores
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check
from dgn.prior import Prior
from dgn.report.animation import FORMATS, save_animation
from dgn.report.contents import RealImage, Trace
from dgn.report.gallery import write_gallery
from dgn.report.results import Row
from dgn.runs.loggers import check as check_loggers
from dgn.runs.threads import use_threads
from dgn.visualization.score_table import comparison
from dgn.visualization.starts import near_real
from dgn.visualization.unit_notes import field_of, notes_of

if TYPE_CHECKING:
    from dgn.visualization.facets import UnitFacets

log = logging.getLogger(__name__)

_HELD_OUT = 512
"""Real images, none of those compared with, that are the table's last row: at most so many."""


@dataclass
class Found:
    """What a contender found: its images, how long an image took, where its films are, and what was measured."""

    contender: Contender
    preferred: Preferred
    seconds: float
    films: list[str | None]
    measured: Measured = field(init=False)
    scores: ImageScores = field(init=False)

    @property
    def title(self) -> str:
        return " · ".join(filter(None, (self.contender.method.name, self.contender.name)))


def visualize(config: DictConfig, folder: Path) -> Path | None:
    """Maximizes config.units by every method through every prior; returns the page's path.

    Measures the results and writes the gallery into the folder. With target.layers=list (or judge.layers=list), prints
    that network's layers instead.
    """
    check_loggers(config.logger)
    device = device_of(config.device)
    if (listed := asked_to_list(config, "target", "judge")) is not None:
        own = listed == "target" and config.target.get("_target_") is None
        names = config.prior if isinstance(config.prior, str | None) else config.prior[0]
        print_layers(load_prior(names, device).encoder_net() if own else network(config[listed]), listed)
        return None
    if config.facets is not None and config.start != "auto":
        raise UserError(
            f"facets={config.facets} start={config.start}: with facets each search starts at its facet; leave one out"
        )
    config.threads = use_threads(config.threads)
    if config.facets is not None and config.start != "auto":
        raise UserError(
            f"facets={config.facets} start={config.start}: with facets each search starts at its facet; leave one out"
        )
    if config.facets is not None:  # here, because scikit-learn takes seconds to import
        from dgn.visualization.facets import facets_of, starts_of, with_facets, write_facets
    priors = priors_of(config, device)
    target = target_of(config, priors, device)
    objectives = parse_units(units_of(config.units, target), target)
    check(target, "target", [layer for objective in objectives for layer in objective.layers])
    seeds = seeds_of(config.seeds) if config.facets is None else list(range(config.facets))
    data = reference_data(priors[0] if priors else None, config)
    reference = Reference(data, config.reference_images) if data is not None and config.reference_images else None
    contenders = contenders_of(config, priors, given_overrides(), reference)
    layers = _code_layers(config, target, priors)
    facets = {} if config.facets is None else facets_of(config, target, objectives, reference)

    found = []
    for contender in contenders:
        log.info(
            "%s: %d objectives x %d seeds in %s%s",
            contender.method.name, len(objectives), len(seeds), target.name,
            f", through the prior of {contender.name} ({contender.prior.source})" if contender.prior else "",
        )  # fmt: skip
        starts = starts_of(facets, contender.prior) if facets else None
        if contender.start == "real":
            assert reference is not None  # `start_of` has seen to it
            starts = near_real(target, contender.prior, objectives, [config.seed + s for s in seeds], reference)
        film, films = _film(config, folder, contender, several=len(contenders) > 1)
        began = time.perf_counter()
        preferred = search(config, contender, target, objectives, seeds, data, starts, film)
        each = (time.perf_counter() - began) / len(preferred.images)
        written = [films.get((o, config.seed + s)) for o, s in zip(preferred.objectives, preferred.seeds, strict=True)]
        found.append(Found(contender, preferred, each, written))

    judge = judge_of(config, priors[0] if priors else None, target)
    held_out = reference.held_out(_HELD_OUT) if reference is not None else None
    classes = reference.classes if reference is not None else ()
    scorer = Scorer(target, judge, reference, classes, held_out, layers if reference is not None else [])
    real = _real_instead(scorer, objectives, len(seeds))
    near = scorer.nearest_real([preferred.images for preferred in (*(one.preferred for one in found), *real)])
    for one, nearest in zip(found, near, strict=False):
        name, steps, seconds = one.contender.method.name, len(one.preferred.curve), round(one.seconds, 3)
        one.measured, one.scores = scorer.measure(one.preferred, name, one.contender.name, steps, seconds, nearest)
    reference_row = [scorer.measure(preferred, REAL, near=near[-1])[0] for preferred in real]
    scores = Scores([one.measured for one in found] + reference_row)
    notes = {} if reference is None else notes_of(config, target, objectives, reference)
    if facets and reference is not None:
        notes = with_facets(notes, facets, reference)
        made = {one.title: (one.preferred.images, one.preferred.objectives) for one in found}
        write_facets(folder, facets, reference, judge, made)

    code = layers[0]
    rows = [row for one in found for row in _rows(one, facets, code, len(found) > 1)]
    images = [image for one in found for image in one.preferred.images]
    settings = plain(config) | {
        "methods": [plain(one.contender.method) for one in found],
        "prior": _one_or_all([prior.source for prior in priors]),
        "prior_layer": _one_or_all([prior.layer for prior in priors]),
        "target": target.name,
        "steps": _one_or_all([len(one.preferred.curve) for one in found]),
        "start": _one_or_all([one.contender.start for one in found]),
        "search_seconds": round(sum(one.seconds * len(one.preferred.images) for one in found), 1),
    }
    page = write_gallery(
        folder, rows, images, settings, config.title or f"What {target.name} prefers to see",
        command_line("visualize"),
        traces=_traces(found, target, reference), units=notes, comparison=comparison(scores, code),
    )  # fmt: skip
    scores.write(folder)
    track(config, folder, rows, settings)
    _say(found)
    return page


def _code_layers(config: DictConfig, target: FeatureNet, priors: Sequence[Prior]) -> list[str]:
    """The layers in whose codes the nearest real image is looked for; the first of them is the one that is tabled."""
    main = target.code_layer()
    for prior in priors:
        if prior.encoder_is(target):
            main = prior.layer
            break
    given = [config.nearest] if isinstance(config.nearest, str) else list(config.nearest or [])
    chosen = code_spaces(target) if given == ["all"] else given
    for layer in chosen:
        target.layer(layer)
    return [main, *(layer for layer in chosen if target.layer(layer).name != target.layer(main).name)]


def _film(
    config: DictConfig, folder: Path, contender: Contender, several: bool
) -> tuple[Callable[[Objective, int, Tensor], None] | None, dict[tuple[Objective, int], str]]:
    """What writes a search's film where video= asks for them, and the paths of those that it has written."""
    films: dict[tuple[Objective, int], str] = {}
    if not config.video:
        return None, films
    kind = "gif" if config.video is True else str(config.video).lower()
    if f".{kind}" not in FORMATS:
        raise UserError(f"video={config.video}: give true (gif), {', '.join(f[1:] for f in FORMATS)} or false")

    def film(objective: Objective, seed: int, frames: Tensor) -> None:
        path = f"films/{_column(contender) if several else ''}{Path(image_name(str(objective), seed)).stem}.{kind}"
        save_animation(folder / path, frames.float() / 255)
        films[objective, seed] = path

    return film, films


def _column(contender: Contender) -> str:
    """The folder, under images/ and films/, of a column of several."""
    return file_stem(f"{contender.method.name}-{contender.name}" if contender.name else contender.method.name) + "/"


def _real_instead(scorer: Scorer, objectives: Sequence[Objective], count: int) -> list[Preferred]:
    """The held-out real images of the table's last row, where there are any."""
    if scorer.held_out is None:
        return []
    try:
        return [scorer.real_instead(objectives, count)]
    except UserError as error:
        log.info("No row of real images: %s", error)
        return []


def _rows(one: Found, facets: Mapping[Objective, UnitFacets], code: str, several: bool) -> list[Row]:
    preferred, scores = one.preferred, one.scores
    near = {space: found.distances.tolist() for space, found in scores.nearest.items()}
    rows = []
    for i, (objective, seed) in enumerate(zip(preferred.objectives, preferred.seeds, strict=True)):
        outcome = preferred.outcomes[i]
        verdict = scores.verdicts[i] if scores.verdicts and outcome.found else None
        place = _column(one.contender) if several else ""
        rows.append(
            Row(
                layer="+".join(objective.layers),
                unit="+".join(term.short for _, term in objective.terms),
                label=objective.label if any(term.label for _, term in objective.terms) else "",
                seed=seed,
                method=one.contender.method.name,
                activation=float(preferred.activations[i]) if outcome.found else math.nan,
                percentile=scores.percentiles[i] if scores.percentiles and outcome.found else None,
                judge_label=verdict.label if verdict else "",
                judge_probability=verdict.probability if verdict else None,
                recognized=verdict.top(1) if verdict else None,
                image=f"images/{place}{image_name(str(objective), seed)}",
                objective=str(objective),
                prior=one.contender.name,
                facet=facets[objective].name(seed) if objective in facets else "",
                judge_top5=verdict.top(5) if verdict else None,
                nearest_pixels=near[PIXELS][i] if PIXELS in near and outcome.found else None,
                nearest_code=near[code][i] if code in near and outcome.found else None,
                steps=len(preferred.curve),
                seconds=round(one.seconds, 3),
                note=outcome.note,
            )
        )
    return rows


def _traces(found: Sequence[Found], target: FeatureNet, reference: Reference | None) -> list[Trace]:
    """What the gallery shows of each search beyond its row."""
    spaces = [one.scores.nearest for one in found]
    places = {p for nearest in spaces for space in nearest.values() for p in space.indices.tolist() if p >= 0}
    pool = {place: image.half() for place, image in reference.pick(places).items()} if reference and places else {}
    traces = []
    for one, nearest in zip(found, spaces, strict=True):
        curves = one.preferred.curve.T.tolist() if len(one.preferred.curve) else [[]] * len(one.preferred.images)
        for i, objective in enumerate(one.preferred.objectives):
            near = []
            for space, its in nearest.items():
                place, distance = int(its.indices[i]), float(its.distances[i])
                if place < 0 or not one.preferred.found[i]:  # its activations are not finite, or it is no result
                    continue
                label = reference.label(place) if reference is not None else ""
                near.append(RealImage(pool[place], f"{space}: {label}" if label else space, distance=distance))
            height, width = one.preferred.images.shape[-2:]
            traces.append(Trace(curves[i], near, one.films[i], field_of(target, objective, (height, width))))
    return traces


def _one_or_all(values: Sequence[str | int]) -> str | int | list[str | int] | None:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else list(values) or None


def _say(found: Sequence[Found]) -> None:
    for one in found:
        verdicts = [v for v, result in zip(one.scores.verdicts or (), one.preferred.found, strict=False) if result]
        judged = [first for v in verdicts if (first := v.top(1)) is not None]
        recognized = f"; {sum(judged)} of {len(judged)} recognized by the judge" if judged else ""
        count = len(one.preferred.images)
        log.info("%s: %d preferred images in %.1f s%s", one.title, count, count * one.seconds, recognized)
