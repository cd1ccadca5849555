"""visualize.py: from methods, priors and a list of units to a gallery with numbers."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.utils import instantiate

from dgn.am.objectives.language import parse_units
from dgn.cli.config import check_complete
from dgn.cli.inspection import asks_to_inspect, inspect
from dgn.cli.network_report import report_accuracy
from dgn.cli.networks import asked_to_list, network, print_layers, without_weights
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
    with_named_targets,
)
from dgn.cli.run_command import gallery_command
from dgn.cli.stages import read_methods
from dgn.cli.stopped import begin_or_resume, forget, keeping_what_was_found
from dgn.data.datamodule import ImageData, samples_of
from dgn.data.display import showing
from dgn.data.reference import Reference
from dgn.devices import select_device
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check
from dgn.report.animation import FORMATS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.threads import use_threads
from dgn.visualization.approaches import make_approaches
from dgn.visualization.gallery_run import GalleryInputs, make_gallery
from dgn.visualization.network_views import MOST_EMBEDDED
from dgn.visualization.samples import write_samples
from dgn.visualization.settings import FacetSettings, NoteSettings, PredictiveSettings, Visualization
from dgn.visualization.tracking import log_gallery
from dgn.visualization.wrong_class import check_wrong_class_starts

log = logging.getLogger(__name__)

_SAMPLES = 16  # of units=none, for each seed


def visualize(config: Mapping[str, Any], folder: Path) -> Path | None:
    """Maximizes config.units by every method through every prior; returns the page's path.

    Measures the results and writes the gallery into the folder. With target.layers=list (or judge.layers=list), prints
    that network's layers instead. With units=none, writes a sheet of samples of the prior's code model.
    """
    run = begin_or_resume(config, folder)
    config = run.config
    check_loggers(config["logger"])
    device = select_device(config["device"])
    role = asked_to_list(config, "target", "judge")
    if role is not None:
        _list_layers(config, role, device)
        return None
    check_complete(config, "visualize")
    if asks_to_inspect(config):
        page = inspect(config, run, folder, device)
        forget(folder)
        return page
    if config["units"] in (None, "none"):
        use_threads(config["threads"])
        (prior, *_) = load_priors(config, device) or [load_prior(None, device, code=named_code(config))]
        with showing(config["show"]["channels"]):
            return write_samples(prior, _SAMPLES * len(read_seeds(config["seeds"])), config["seed"], folder)
    asked = read_visualization(config)
    config = {**config, "threads": use_threads(config["threads"])}
    inputs = _load_inputs(config, run.overrides, asked, device)
    run.record(config, [prior.source for prior in inputs.priors])
    report_accuracy("target", inputs.target, inputs.data, folder)
    if inputs.judge is not None:
        report_accuracy("judge", inputs.judge, inputs.data, folder)
    command = gallery_command(run.overrides)
    with showing(config["show"]["channels"], samples_of(inputs.data)):
        with keeping_what_was_found(asked, inputs, folder, config, command):
            page, rows = make_gallery(asked, inputs, folder, config, command)
        sources = {prior.source for prior in inputs.priors}
        log_gallery(logger_makers(config["logger"]), config, folder, rows, sources.pop() if len(sources) == 1 else None)
    forget(folder)
    return page


def read_visualization(config: Mapping[str, Any]) -> Visualization:
    """Reads what a run is asked to do from its config. Raises UserError for invalid values."""
    facets = None
    if config["facets"] is not None:
        facets = _read_facets(config)
    seeds = read_seeds(config["seeds"]) if facets is None else list(range(facets.count))
    return Visualization(
        search=read_search(config, seeds),
        start=config["start"] if facets is None else facets.start,
        facets=facets,
        notes=_read_notes(config),
        reference_images=config["reference_images"],
        nearest=_layers(config["nearest"]),
        nearest_images=_read_nearest_images(config["nearest_images"]),
        predictive=_read_predictive(config["predictive"]),
        wrong_class_start=_read_flag("wrong_class_start", config["wrong_class_start"]),
        video=_read_video(config["video"]),
        title=config["title"],
    )


def _read_facets(config: Mapping[str, Any]) -> FacetSettings:
    count, start, source, samples = (config[key] for key in ("facets", "start", "facet_source", "facet_samples"))
    if start != "auto":
        raise UserError(f"facets={count} start={start}: with facets each search starts at its facet; leave one out")
    if count < 1:
        raise UserError(f"facets={count}: the number of facets must be at least 1")
    if source not in ("real", "samples"):
        raise UserError(f"facet_source={source}: give real (kinds of real images) or samples (kinds of images drawn)")
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise UserError(f"facet_samples={samples}: give a number of images that are drawn, e.g. 2000")
    return FacetSettings(count, config["facet_layer"], config["seed"], source, samples)


def _read_notes(config: Mapping[str, Any]) -> NoteSettings:
    top_images, masks, occlusion = config["top_images"], config["masks"], config["occlusion"]
    if top_images < 0:
        raise UserError(f"top_images={top_images}: give a number of real images for each unit, 0 for none")
    if masks not in ("auto", True, False):
        raise UserError(f"masks={masks}: give auto, true or false")
    deconvolutions, map_images = config["deconvolutions"], config["map_images"]
    if deconvolutions not in ("auto", True, False):
        raise UserError(f"deconvolutions={deconvolutions}: give auto, true or false")
    if not isinstance(map_images, int) or isinstance(map_images, bool) or not 0 <= map_images <= MOST_EMBEDDED:
        raise UserError(
            f"map_images={map_images}: give a number of real images, at most {MOST_EMBEDDED}, or 0 for no map"
        )
    return NoteSettings(top_images, masks, occlusion["patch"], occlusion["stride"], deconvolutions, map_images)


def _read_predictive(predictive: Mapping[str, Any]) -> PredictiveSettings | None:
    tasks = predictive["tasks"]
    if not isinstance(tasks, int) or isinstance(tasks, bool) or tasks < 0:
        raise UserError(f"predictive.tasks={tasks}: give a number of pairs of real images, e.g. 20, or 0 for none")
    minimize = _read_flag("predictive.minimize", predictive["minimize"])
    causal = _read_flag("predictive.causal", predictive["causal"])
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


def _load_inputs(
    config: Mapping[str, Any], overrides: Sequence[str], asked: Visualization, device: torch.device
) -> GalleryInputs:
    """Loads what the run computes with."""
    priors = load_priors(config, device)
    first = priors[0] if priors else None
    data = open_data(first, config.get("data"))
    target = load_target(config["target"], priors, device, data)
    target = with_named_targets(target, config.get("targets") or {}, priors, data)
    objectives = parse_units(read_units(config["units"], target), target)
    methods = read_methods(config, overrides, priors)
    layers = [layer for objective in objectives for layer in objective.layers]
    check(target, "target", layers, gradient=any(method.gradient for method in methods))
    reference = _reference(target, data, asked)
    approaches = make_approaches(methods, priors, asked.start, reference)
    judge = load_judge(config["judge"], first, target, data)
    if asked.wrong_class_start:
        check_wrong_class_starts(objectives, judge, reference)
    similarity = load_similarity(config["similarity"], judge, target, first) if asked.predictive is not None else None
    embedding = instantiate(config["embedding"])
    return GalleryInputs(target, objectives, approaches, priors, judge, similarity, data, reference, embedding)


def _reference(target: FeatureNet, data: ImageData | None, asked: Visualization) -> Reference | None:
    """Returns the real images that are compared with preferred ones, if there are any and the target can be asked."""
    if data is None or not asked.reference_images:
        return None
    if not target.repeatable:
        log.info("No real images to compare with: %s is asked about the images of the search only", target.name)
        return None
    return Reference(data, asked.reference_images)


def _list_layers(config: Mapping[str, Any], role: str, device: torch.device) -> None:
    """Prints the layers of the target or the judge; those of the prior's encoder if it is the target."""
    if role == "target" and config["target"].get("_target_") is None:
        given = config["prior"]
        name = given[0] if isinstance(given, list) else given
        net = load_prior(name, device, code=named_code(config)).encoder_net()
    else:
        net = network(without_weights(config[role]))
    print_layers(net, role)
