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
from omegaconf import DictConfig, OmegaConf, open_dict

from dgn.am.objectives.language import parse_units
from dgn.cli.config import given_overrides, plain
from dgn.cli.networks import network
from dgn.cli.roles import (
    load_judge,
    load_prior,
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
from dgn.devices import placed, select_device
from dgn.errors import UserError
from dgn.metrics.ranking import RankingMetrics
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.results import RESULTS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.programs import command
from dgn.runs.threads import use_threads
from dgn.visualization.prior_comparison import Task, compare_priors
from dgn.visualization.search_comparison import compare_searches
from dgn.visualization.settings import PriorComparison
from dgn.visualization.tracking import log_comparison

log = logging.getLogger(__name__)

_MOST_UNITS = 16
"""Largest number of classes of which units=auto takes all."""


def compare(config: DictConfig, folder: Path) -> Path:
    """Compares the runs of config.runs; returns the page's path.

    Writes the page, the table and the figure into the folder. Raises UserError where a folder is not that of a run.
    """
    asked = read_comparison(config)
    if OmegaConf.is_missing(config, "runs"):
        raise UserError(f"no runs to compare: {command('compare')} RUN RUN ... (folders, or folders of multiruns)")
    runs = locate_runs(config.runs)
    config.threads = use_threads(config.threads)
    entries = [make_entry(run) for run in runs]
    settings = [read_settings(run.path) for run in runs]
    for entry, name, differing in zip(entries, *name_runs([run.name for run in runs], settings), strict=True):
        entry.name, entry.settings = name, differing
    searches = [
        (run.path / RESULTS).is_file() or "units" in its.config for run, its in zip(runs, settings, strict=True)
    ]
    if any(searches) and not all(searches):
        raise UserError("runs of train.py and of visualize.py cannot be compared with each other; name one kind")
    device = select_device(config.device)
    if all(searches):
        page, titles = compare_searches(entries, partial(_make_search_metrics, config, device), folder)
    else:
        page, titles = compare_priors(entries, asked, partial(_make_task, config, device), device, folder)
    log_comparison(logger_makers(config.logger), plain(config), entries, folder, bool(titles))
    log.info("%d runs compared, %d finished", len(entries), sum(e.status == "finished" for e in entries))
    return page


def read_comparison(config: DictConfig) -> PriorComparison:
    """Reads what a comparison is asked to do from its config.

    Raises:
        UserError: for settings with which it would fail after much has been computed.
    """
    check_loggers(config.logger)
    seeds = read_seeds(config.seeds)
    for key, least in (("reference_images", 0), ("steps", 1)):
        value = config[key]
        if value is not None and (not isinstance(value, int) or value < least):
            raise UserError(f"{key}={value}: give a number of at least {least}")
    return PriorComparison(read_search(config, seeds), config.start, config.reference_images, named_code(config))


def _make_task(config: DictConfig, device: torch.device, prior: Prior) -> Task:
    """Makes what all priors are asked to show; what the config leaves open is the first prior's."""
    own = config.target.get("_target_") is None
    target = placed(prior.encoder_net() if own else network(config.target, image_size=prior.image_size), device)
    objectives = parse_units(_read_units(config.units, target), target)
    data = open_data(prior, config)
    method = read_method(config.method, config.steps, given_overrides())
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
    config: DictConfig, prior: Prior | None, target: FeatureNet, data: ImageData | None
) -> RankingMetrics:
    judge = load_judge(config, prior, target, data)
    if data is None or not config.reference_images:
        return RankingMetrics(judge, target, None)
    return RankingMetrics(judge, target, data.real_images(config.reference_images, "val"), data.classes)


def _make_search_metrics(
    config: DictConfig, device: torch.device, run: Path, results: Mapping[str, Any]
) -> RankingMetrics:
    """Makes what measures searches; what the config leaves open (target, judge, real images) is as the run had it.

    Args:
        config: of compare.
        device: where networks compute.
        run: the run's folder.
        results: the settings in its results.json.
    """
    own = OmegaConf.create(dict(read_settings(run).config))
    with open_dict(config):
        if config.target.get("_target_") is None and own.get("target"):
            config.target = own.target
        if config.judge.get("auto") and own.get("judge"):
            config.judge = own.judge
        config.data = config.get("data") or own.get("data")
    source = results.get("prior")
    source = source[0] if isinstance(source, list) else source  # of several priors, that whose encoder is the target
    prior = load_prior(source, device, code=named_code(config)) if source else None
    if config.target.get("_target_") is None:
        assert prior is not None  # a run without one has named its target
        target = prior.encoder_net()
    else:
        target = network(config.target, image_size=prior.image_size if prior else None)
    return _make_metrics(config, prior, placed(target, device), open_data(prior, config))
