"""compare.py, and the end of every multirun: runs side by side.

Priors (folders of train.py) are asked to show the same units from the same seeds, and what comes out is measured.
Searches (folders of visualize.py) have shown theirs already: they are measured alike, and ranked.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.cli.config import given_overrides, plain
from dgn.cli.networks import network
from dgn.cli.roles import device_of, judge_of, load_prior, reference_data, seeds_of, units_of
from dgn.cli.run_folders import RESULTS, find_sources, new_entry
from dgn.cli.run_names import name_runs, read_settings
from dgn.cli.search import Contender, search
from dgn.cli.stages import method_for
from dgn.data.datamodule import ImageData
from dgn.data.images import read_image
from dgn.errors import UserError
from dgn.metrics.ranking import RankingMetrics
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.run_comparison import Entry, write_comparison
from dgn.runs.folders import METRICS
from dgn.runs.loggers import check as check_loggers
from dgn.runs.loggers import log_pictures, log_table, logged
from dgn.runs.programs import command
from dgn.runs.threads import use_threads

log = logging.getLogger(__name__)

_MOST_UNITS = 16
_NOT_OF_VALIDATION = {f"data.{key}" for key in ("batch_size", "num_workers", "cache", "train_images", "mirror")}
_SHOWN = 5  # best and worst searches in the figure


_MORE_IS_BETTER = {
    "val/psnr": True,
    "val/feature_distance": False,
    "val/code_error": False,
    "val/accuracy": True,
    "recognition": True,
    "frechet_distance": False,
    "rank": False,
}


def compare(config: DictConfig, folder: Path) -> Path:
    """Compares the runs of config.runs; returns the page's path.

    Writes the page, the table and the figure into the folder. Raises UserError where a folder is not that of a run.
    """
    check(config)
    if OmegaConf.is_missing(config, "runs"):
        raise UserError(f"no runs to compare: {command('compare')} RUN RUN ... (folders, or folders of multiruns)")
    sources = find_sources(config.runs)
    config.threads = use_threads(config.threads)
    entries = [new_entry(source) for source in sources]
    settings = [read_settings(source.path) for source in sources]
    for entry, name, differing in zip(entries, *name_runs([source.name for source in sources], settings), strict=True):
        entry.name, entry.settings = name, differing
    searches = [
        (source.path / RESULTS).is_file() or "units" in run.config
        for source, run in zip(sources, settings, strict=True)
    ]
    if any(searches) and not all(searches):
        raise UserError("runs of train.py and of visualize.py cannot be compared with each other; name one kind")
    page, table = (_searches if all(searches) else _priors)(config, entries, folder)
    _track(config, entries, folder, table)
    log.info("%d runs compared, %d finished", len(entries), sum(e.status == "finished" for e in entries))
    return page


def check(config: DictConfig) -> None:
    """Raises UserError for settings that a comparison would fail for when much has been done."""
    check_loggers(config.logger)
    seeds_of(config.seeds)
    for key, least in (("reference_images", 0), ("steps", 1)):
        value = config[key]
        if value is not None and (not isinstance(value, int) or value < least):
            raise UserError(f"{key}={value}: give a number of at least {least}")


def _priors(config: DictConfig, entries: list[Entry], folder: Path) -> tuple[Path, list[str]]:
    """The comparison of what train.py made."""
    device = device_of(config.device)
    for entry in entries:
        if entry.status == "finished" and (entry.folder / METRICS).is_file():
            entry.numbers |= _trained(json.loads((entry.folder / METRICS).read_text()))
    made = [entry for entry in entries if entry.prior is not None and entry.status == "finished"]
    seeds = seeds_of(config.seeds)
    asked: _Asked | None = None
    for entry in made:
        assert entry.prior is not None
        try:  # one that cannot be read or searched does not lose the others
            prior = Prior.load(entry.prior, device)
        except UserError as error:
            _leave_out(entry, error)
            continue
        entry.numbers = entry.numbers or _trained(prior.about.get("metrics", {}))
        asked = asked or _ask(config, prior, device)
        log.info("Comparing: %s", entry.name)
        try:
            preferred = search(
                config, Contender(asked.method, prior, "", config.start), asked.target, asked.units, seeds, asked.data
            )
        except UserError as error:
            _leave_out(entry, error)
            continue
        entry.images = preferred.images.cpu()
        entry.numbers |= asked.yardstick.measure(preferred.images, [o.wanted for o in preferred.objectives])
    if made and all(entry.error for entry in made):
        raise UserError(made[0].error)
    summary = f"{len(entries)} runs: {_counted(entries)}."
    titles = [objective.label or str(objective) for objective in asked.units] if asked else []
    if asked:
        summary += (
            f" Each prior shows the same {len(titles)} units of {asked.target.name} from the same "
            f"{'seed' if len(seeds) == 1 else 'seeds'}, searched alike. {asked.yardstick.describe()}"
        )
    note = "A row a unit, a column a prior; the same seeds for each."
    if not _one_data(entries):
        summary += " The runs had other images, so what was measured on each one's own (val/) is not to be compared."
    marked = {k: v for k, v in _MORE_IS_BETTER.items() if _one_data(entries) or not k.startswith("val/")}
    title = "Priors compared" if made else "Runs compared"
    page = write_comparison(folder, entries, titles, len(seeds), title, summary, note, marked)
    return page, titles


def _one_data(entries: Sequence[Entry]) -> bool:
    """Whether the runs were validated on the same images, so far as their settings say."""
    of_data = {key for entry in entries for key in entry.settings if key == "data" or key.startswith("data.")}
    return not of_data - _NOT_OF_VALIDATION


def _searches(config: DictConfig, entries: list[Entry], folder: Path) -> tuple[Path, list[str]]:
    """The comparison of what visualize.py made: settings, ranked by naturalness and recognition together."""
    found = [entry for entry in entries if entry.status == "finished"]
    yardstick: RankingMetrics | None = None
    titles: dict[Path, list[str]] = {}
    for entry in found:
        results = json.loads((entry.folder / RESULTS).read_text())
        rows = results["results"]
        images = torch.stack([read_image(entry.folder / row["image"]).float() / 255 for row in rows])
        if yardstick is None:
            yardstick = _yardstick_of_search(config, entry.folder, results["settings"].get("prior"))
        entry.numbers |= yardstick.measure(images, [[row["label"]] if row["label"] else [] for row in rows])
        first = [i for i, row in enumerate(rows) if row["seed"] == rows[0]["seed"]][: 2 * _MOST_UNITS]
        entry.images, titles[entry.folder] = images[first], [rows[i]["label"] or rows[i]["objective"] for i in first]
        percentiles = [row["percentile"] for row in rows if row["percentile"] is not None]
        if percentiles:
            entry.numbers["percentile"] = sum(percentiles) / len(percentiles)
        entry.numbers["seconds"] = results["settings"]["search_seconds"]
    _rank(found)
    order = sorted(found, key=lambda entry: entry.numbers["rank"])
    ranked = [*order, *(entry for entry in entries if entry.status != "finished")]
    shown = {entry.folder for entry in (*order[:_SHOWN], *order[-_SHOWN:])}
    rows = titles[order[0].folder] if order else []
    for entry in order:
        if entry.folder not in shown or titles[entry.folder] != rows:
            entry.images = None
    summary = f"{len(entries)} searches: {_counted(entries)}."
    if order and yardstick is not None:
        summary += f" Ranked by Frechet distance from real images and by recognition; the best: {order[0].name}."
        summary += f" {yardstick.describe()}"
    note = "From the best to the worst; one picture of each unit, the same seed for all."
    page = write_comparison(folder, ranked, rows, 1, "Searches compared", summary, note, _MORE_IS_BETTER)
    return page, rows


def _trained(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {key: value for key, value in metrics.items() if key.startswith("val/")}
    numbers["seconds"] = metrics.get("total_seconds", metrics.get("fit_seconds"))
    numbers["parameters"] = metrics.get("generator_parameters", metrics.get("parameters"))
    return {key: value for key, value in numbers.items() if value is not None}


def _rank(entries: Sequence[Entry]) -> None:
    """rank: the mean of the places by Frechet distance and by recognition, so far as they are measured."""
    for entry in entries:
        places = []
        for key, more in (("frechet_distance", False), ("recognition", True)):
            values = [e.numbers[key] for e in entries if key in e.numbers]
            if key in entry.numbers:
                value = entry.numbers[key]
                places.append(1 + sum((v > value) if more else (v < value) for v in values))
        entry.numbers = {"rank": sum(places) / len(places) if places else 0.0, **entry.numbers}


def _units(units: Any, target: FeatureNet) -> Any:
    if units not in ("auto", "all"):
        return units_of(units, target)
    layer = target.class_layer()
    count = target.layer(layer).units
    if units == "all" or count <= _MOST_UNITS:
        return f"{layer}:all"
    return [f"{layer}:{i * count // _MOST_UNITS}" for i in range(_MOST_UNITS)]


@dataclass(frozen=True)
class _Asked:
    """What all priors are asked to show, how it is searched, and what it is measured by."""

    target: FeatureNet
    units: Sequence[Objective]
    method: DictConfig
    data: ImageData | None
    yardstick: RankingMetrics


def _ask(config: DictConfig, prior: Prior, device: torch.device) -> _Asked:
    own = config.target.get("_target_") is None
    target = (prior.encoder_net() if own else network(config.target, image_size=prior.image_size)).to(device)
    units = parse_units(_units(config.units, target), target)
    data = reference_data(prior, config)
    method = method_for(config.method, config.start, config.steps, given_overrides())
    return _Asked(target, units, method, data, _yardstick(config, prior, target, data))


def _leave_out(entry: Entry, error: UserError) -> None:
    entry.error = str(error)
    log.warning("%s is not compared: %s", entry.name, error)


def _yardstick(config: DictConfig, prior: Prior | None, target: FeatureNet, data: ImageData | None) -> RankingMetrics:
    judge = judge_of(config, prior, target)
    if data is None or not config.reference_images:
        return RankingMetrics(judge, target, None)
    return RankingMetrics(judge, target, data.real_images(config.reference_images, "val"), data.classes)


def _yardstick_of_search(config: DictConfig, run: Path, where: str | list[str] | None) -> RankingMetrics:
    """What the config leaves open is as the run had it: its target, its judge, its real images."""
    own = OmegaConf.create(dict(read_settings(run).config))
    with open_dict(config):
        if config.target.get("_target_") is None and own.get("target"):
            config.target = own.target
        if config.judge.get("auto") and own.get("judge"):
            config.judge = own.judge
        config.data = config.get("data") or own.get("data")
    device = device_of(config.device)
    where = where[0] if isinstance(where, list) else where  # of several priors, that whose encoder is the target
    prior = load_prior(where, device) if where else None
    if config.target.get("_target_") is None:
        assert prior is not None  # a run without one has named its target
        target = prior.encoder_net()
    else:
        target = network(config.target, image_size=prior.image_size if prior else None)
    return _yardstick(config, prior, target.to(device), reference_data(prior, config))


def _counted(entries: Sequence[Entry]) -> str:
    counts = {
        status: sum(entry.status == status for entry in entries) for status in ("finished", "failed", "unfinished")
    }
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _track(config: DictConfig, entries: Sequence[Entry], folder: Path, titles: Sequence[str]) -> None:
    """The comparison as a run of its own through the config's loggers: the table, the figure, the best values."""
    makers = [instantiate(maker, _partial_=True) for maker in config.logger.values()]
    if not makers:
        return
    with logged(makers, plain(config)) as loggers:
        numbers = list(dict.fromkeys(key for entry in entries for key in entry.numbers))
        settings = list(dict.fromkeys(key for entry in entries for key in entry.settings))
        rows = [
            [e.name, e.status, e.error, *(str(e.settings.get(k, "")) for k in settings), *map(e.numbers.get, numbers)]
            for e in entries
        ]
        log_table(loggers, "comparison/table", ["run", "status", "error", *settings, *numbers], rows, None)
        if titles:
            picture = read_image(folder / "comparison.png").float() / 255
            caption = "a row a unit, a column a run: " + " | ".join(e.name for e in entries if e.images is not None)
            log_pictures(loggers, "comparison/figure", [picture], [caption])
