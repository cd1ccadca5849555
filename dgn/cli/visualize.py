"""visualize.py: from methods, priors and a list of units to a gallery with numbers."""

from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig

from dgn.am.objectives.language import parse_units
from dgn.cli.config import given_overrides, plain
from dgn.cli.network_report import report_accuracy
from dgn.cli.networks import asked_to_list, network, print_layers
from dgn.cli.roles import (
    load_judge,
    load_prior,
    load_priors,
    load_similarity,
    load_target,
    logger_makers,
    named_code,
    open_data,
    read_search,
    read_seeds,
    read_units,
)
from dgn.cli.run_command import gallery_command
from dgn.cli.stages import read_methods
from dgn.data.reference import Reference
from dgn.devices import select_device
from dgn.errors import UserError
from dgn.networks.usable import check
from dgn.report.animation import FORMATS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.threads import use_threads
from dgn.visualization.approaches import make_approaches
from dgn.visualization.gallery_run import Scene, make_gallery
from dgn.visualization.samples import write_samples
from dgn.visualization.settings import FacetSettings, NoteSettings, PredictiveSettings, Visualization
from dgn.visualization.tracking import log_gallery
from dgn.visualization.wrong_class import check_wrong_class_starts

_SAMPLES = 16  # of units=none, for each seed


def visualize(config: DictConfig, folder: Path) -> Path | None:
    """Maximizes config.units by every method through every prior; returns the page's path.

    Measures the results and writes the gallery into the folder. With target.layers=list (or judge.layers=list), prints
    that network's layers instead. With units=none, writes a sheet of samples of the prior's code model.
    """
    check_loggers(config.logger)
    device = select_device(config.device)
    role = asked_to_list(config, "target", "judge")
    if role is not None:
        _list_layers(config, role, device)
        return None
    if config.units in (None, "none"):
        config.threads = use_threads(config.threads)
        (prior, *_) = load_priors(config, device) or [load_prior(None, device, code=named_code(config))]
        return write_samples(prior, _SAMPLES * len(read_seeds(config.seeds)), config.seed, folder)
    asked = read_visualization(config)
    config.threads = use_threads(config.threads)
    scene = _make_scene(config, asked, device)
    report_accuracy("target", scene.target, scene.data, folder)
    if scene.judge is not None:
        report_accuracy("judge", scene.judge, scene.data, folder)
    page, rows = make_gallery(asked, scene, folder, plain(config), gallery_command())
    sources = {prior.source for prior in scene.priors}
    log_gallery(logger_makers(config.logger), plain(config), folder, rows, sources.pop() if len(sources) == 1 else None)
    return page


def read_visualization(config: DictConfig) -> Visualization:
    """Reads what a run is asked to do from its config. Raises UserError for invalid values."""
    facets = None
    if config.facets is not None:
        facets = FacetSettings(config.facets, config.facet_layer, config.seed)
        if config.start != "auto":
            raise UserError(
                f"facets={facets.count} start={config.start}: with facets each search starts at its facet; leave one "
                "out"
            )
        if facets.count < 1:
            raise UserError(f"facets={facets.count}: the number of facets must be at least 1")
    seeds = read_seeds(config.seeds) if facets is None else list(range(facets.count))
    return Visualization(
        search=read_search(config, seeds),
        start=config.start if facets is None else "facets",
        facets=facets,
        notes=_read_notes(config),
        reference_images=config.reference_images,
        nearest=_layers(config.nearest),
        nearest_images=_read_nearest_images(config.nearest_images),
        predictive=_read_predictive(config.predictive),
        wrong_class_start=_read_flag("wrong_class_start", config.wrong_class_start),
        video=_read_video(config.video),
        title=config.title,
    )


def _read_notes(config: DictConfig) -> NoteSettings:
    if config.top_images < 0:
        raise UserError(f"top_images={config.top_images}: give a number of real images for each unit, 0 for none")
    if config.masks not in ("auto", True, False):
        raise UserError(f"masks={config.masks}: give auto, true or false")
    return NoteSettings(config.top_images, config.masks, config.occlusion.patch, config.occlusion.stride)


def _read_predictive(config: DictConfig) -> PredictiveSettings | None:
    tasks = config.tasks
    if not isinstance(tasks, int) or isinstance(tasks, bool) or tasks < 0:
        raise UserError(f"predictive.tasks={tasks}: give a number of pairs of real images, e.g. 20, or 0 for none")
    minimize = _read_flag("predictive.minimize", config.minimize)
    causal = _read_flag("predictive.causal", config.causal)
    return PredictiveSettings(tasks, minimize, causal) if tasks else None


def _read_flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key}={value}: give true or false")
    return value


def _layers(nearest: Any) -> Any:
    """Returns the layers of `nearest=`: "all", or a list; a single name is a list of one."""
    if isinstance(nearest, str):
        return nearest if nearest == "all" else [nearest]
    return list(nearest or [])


def _read_nearest_images(count: Any) -> int | Literal["all"]:
    if count == "all":
        return "all"
    if not isinstance(count, int) or count < 0:
        raise UserError(f"nearest_images={count}: give all, a number of training images of each class, or 0 for none")
    return count


def _read_video(video: Any) -> str | None:
    """Returns the format of the films; None: there are none."""
    if not video:
        return None
    kind = "gif" if video is True else str(video).lower()
    if f".{kind}" not in FORMATS:
        raise UserError(f"video={video}: give true (gif), {', '.join(f[1:] for f in FORMATS)} or false")
    return kind


def _make_scene(config: DictConfig, asked: Visualization, device: torch.device) -> Scene:
    """Loads what the run computes with."""
    priors = load_priors(config, device)
    first = priors[0] if priors else None
    data = open_data(first, config)
    target = load_target(config, priors, device, data)
    objectives = parse_units(read_units(config.units, target), target)
    check(target, "target", [layer for objective in objectives for layer in objective.layers])
    reference = Reference(data, asked.reference_images) if data is not None and asked.reference_images else None
    approaches = make_approaches(read_methods(config, given_overrides()), priors, asked.start, reference)
    judge = load_judge(config, first, target, data)
    if asked.wrong_class_start:
        check_wrong_class_starts(objectives, judge, reference)
    similarity = load_similarity(config, judge, target, first) if asked.predictive is not None else None
    return Scene(target, objectives, approaches, priors, judge, similarity, data, reference)


def _list_layers(config: DictConfig, role: str, device: torch.device) -> None:
    """Prints the layers of the target or the judge; those of the prior's encoder if it is the target."""
    if role == "target" and config.target.get("_target_") is None:
        name = config.prior if isinstance(config.prior, str | None) else config.prior[0]
        net = load_prior(name, device, code=named_code(config)).encoder_net()
    else:
        net = network(config[role])
    print_layers(net, role)
