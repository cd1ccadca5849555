"""compare.py, and the end of every multirun: runs side by side.

Priors (folders of train.py) are asked to show the same units from the same seeds, and what comes out is measured.
Searches (folders of visualize.py) have shown theirs already: they are measured alike, and ranked.
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dgn.am.objectives.language import parse_units
from dgn.cli.config import check_complete, given_overrides, keys_without_value
from dgn.cli.networks import asked_to_list
from dgn.cli.roles import (
    load_judge,
    load_prior,
    load_target,
    logger_makers,
    named_code,
    open_data,
    read_search,
    read_seeds,
    read_units,
)
from dgn.cli.run_folders import locate_runs, make_entry
from dgn.cli.run_names import name_runs, read_settings
from dgn.cli.stages import read_method
from dgn.data.datamodule import ImageData
from dgn.data.display import showing
from dgn.devices import select_device
from dgn.errors import UserError
from dgn.metrics.ranking import RankingMetrics
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.run_comparison import Entry
from dgn.runs.folders import RESULTS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.programs import command
from dgn.runs.progress import announced
from dgn.runs.threads import use_threads
from dgn.visualization.prior_comparison import Task, compare_priors
from dgn.visualization.search_comparison import compare_searches
from dgn.visualization.settings import PriorComparison
from dgn.visualization.tracking import log_comparison

log = logging.getLogger(__name__)

_MOST_UNITS = 16
"""Largest number of classes of which units=auto takes all."""


def compare(config: Mapping[str, Any], folder: Path) -> Path:
    """Compares the runs of config.runs; returns the page's path.

    Writes the page, the table and the figure into the folder. Raises UserError where a folder is not that of a run.
    """
    asked = read_comparison(config)
    if "runs" in keys_without_value(config):
        raise UserError(f"no runs to compare: {command('compare')} RUN RUN ... (folders, or folders of multiruns)")
    check_complete(config, "compare")
    runs = locate_runs(config["runs"])
    config = {**config, "threads": use_threads(config["threads"])}
    entries = [make_entry(run) for run in runs]
    settings = [read_settings(run.path) for run in runs]
    for entry, name, differing in zip(entries, *name_runs([run.name for run in runs], settings), strict=True):
        entry.name, entry.settings = name, differing
    searches = [
        (run.path / RESULTS).is_file() or "units" in its.config for run, its in zip(runs, settings, strict=True)
    ]
    if any(searches) and not all(searches):
        raise UserError("runs of train.py and of visualize.py cannot be compared with each other; name one kind")
    device = select_device(config["device"])
    with showing(config["show"]["channels"]):
        return _write_comparison(config, folder, asked, entries, all(searches), device)


def _write_comparison(
    config: Mapping[str, Any],
    folder: Path,
    asked: PriorComparison,
    entries: list[Entry],
    searches: bool,
    device: torch.device,
) -> Path:
    """Compares searches, or priors; returns the page's path."""
    if searches:
        page, titles = compare_searches(entries, partial(_make_search_metrics, config, device), folder)
    else:
        page, titles = compare_priors(entries, asked, partial(_make_task, config, device), device, folder)
    log_comparison(logger_makers(config["logger"]), config, entries, folder, bool(titles))
    log.info("%d runs compared, %d finished", len(entries), sum(e.status == "finished" for e in entries))
    return page


def read_comparison(config: Mapping[str, Any]) -> PriorComparison:
    """Reads what a comparison is asked to do from its config.

    Raises:
        UserError: for settings with which it would fail after much has been computed.
    """
    check_loggers(config["logger"])
    role = asked_to_list(config, "target", "judge")
    if role is not None:
        raise UserError(f"{role}.layers=list: `{command('visualize')}` prints layers; give it the same {role} settings")
    seeds = read_seeds(config["seeds"])
    for key, least in (("reference_images", 0), ("steps", 1)):
        value = config[key]
        if value is not None and (not isinstance(value, int) or value < least):
            raise UserError(f"{key}={value}: give a number of at least {least}")
    return PriorComparison(read_search(config, seeds), config["start"], config["reference_images"], named_code(config))


def _make_task(config: Mapping[str, Any], device: torch.device, prior: Prior) -> Task:
    """Makes what all priors are asked to show; what the config leaves open is the first prior's."""
    data = open_data(prior, config.get("data"))
    target = load_target(config["target"], [prior], device, data)
    objectives = parse_units(_read_units(config["units"], target), target)
    method = read_method(config["method"], config["steps"], given_overrides())
    return Task(target, objectives, method, data, _make_metrics(config, prior, target, data))


def _read_units(units: Any, target: FeatureNet) -> Any:
    if units not in ("auto", "all"):
        return read_units(units, target)
    layer = target.class_layer()
    count = target.layer(layer).units
    if units == "all" or count <= _MOST_UNITS:
        return f"{layer}:all"
    return [f"{layer}:{i * count // _MOST_UNITS}" for i in range(_MOST_UNITS)]


def _make_metrics(
    config: Mapping[str, Any], prior: Prior | None, target: FeatureNet, data: ImageData | None
) -> RankingMetrics:
    judge = load_judge(config["judge"], prior, target, data)
    images = config["reference_images"]
    if data is None or not images:
        return RankingMetrics(judge, target, None)
    real = announced(
        data.real_images(images, "val"),
        images,
        "Running a network on real images, for the Frechet distance",
        "fewer with reference_images=N, 0: none",
        64,
    )
    return RankingMetrics(judge, target, real, data.classes)


def _make_search_metrics(
    config: Mapping[str, Any], device: torch.device, run: Path, results: Mapping[str, Any]
) -> RankingMetrics:
    """Makes what measures searches; what the config leaves open (target, judge, real images) is as the run had it.

    Args:
        config: of compare.
        device: where networks compute.
        run: the run's folder.
        results: the settings in its results.json.
    """
    own, settings = read_settings(run), dict(config)
    if settings["target"].get("_target_") is None:
        settings["target"] = own.group("target") or settings["target"]
    if settings["judge"].get("auto"):
        settings["judge"] = own.group("judge") or settings["judge"]
    settings["data"] = settings.get("data") or own.group("data")
    source = results.get("prior")
    source = source[0] if isinstance(source, list) else source  # of several priors, that whose encoder is the target
    prior = load_prior(source, device, code=named_code(config)) if source else None
    if prior is None and settings["target"].get("_target_") is None:
        raise UserError(f"{run}: its settings name neither a prior nor a target; name one with target=")
    data = open_data(prior, settings["data"])
    target = load_target(settings["target"], [prior] if prior is not None else [], device, data)
    return _make_metrics(settings, prior, target, data)
