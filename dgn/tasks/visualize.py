"""visualize.py: from a prior and a list of units to a gallery."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from dgn.am.maximize import Preferred, activations_of, maximize
from dgn.am.objectives import Objective, parse_units
from dgn.config import command_line, from_here, plain
from dgn.data import sources
from dgn.data.datamodule import ImageData
from dgn.data.images import read_image
from dgn.errors import UserError
from dgn.files import image_name
from dgn.loggers import log_pictures, log_table, logged
from dgn.metrics.percentile import percentiles
from dgn.metrics.recognition import recognize
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.gallery import write_gallery
from dgn.report.results import COLUMNS, Row
from dgn.runs import find_prior
from dgn.sharing import is_shared
from dgn.tasks.common import network
from dgn.training.callbacks import interactive

log = logging.getLogger(__name__)


def visualize(config: DictConfig, folder: Path) -> Path | None:
    """Maximizes config.units through config.prior, judges what came out and writes the gallery into the folder;
    returns the page's path. With target.layers=list, prints the target's layers instead."""
    device = _device(config.device)
    own = config.target.get("_target_") is None
    listing = config.target.get("layers") is not None
    prior = None if listing and not own else load_prior(config.prior, device)
    target = (prior.encoder_net() if own else network(config.target)).to(device)
    if listing:
        print_layers(target)
        return None
    objectives = parse_units(_all_units(config.units, target), target)
    seeds = list(range(config.seeds)) if isinstance(config.seeds, int) else list(config.seeds)
    if not seeds:
        raise UserError(f"seeds={config.seeds} asks for no image; give a number of at least 1, or a list")
    method = _method(config)
    began = time.perf_counter()
    log.info(
        "%s: %d objectives x %d seeds in %s, through the prior of %s (%s)",
        method.name, len(objectives), len(seeds), target.name, prior.layer, prior.source,
    )  # fmt: skip
    preferred = search(config, method, prior, target, objectives, seeds)
    seconds = time.perf_counter() - began
    data = reference_data(prior, config)
    ranks = _percentiles(config, data, target, objectives, preferred)
    verdicts = recognize(_judge(config, prior, target), preferred.images.to(device))
    rows = _rows(preferred, ranks, verdicts, method.name)
    settings = plain(config) | {
        "prior": prior.source,
        "prior_layer": prior.layer,
        "target": target.name,
        "steps": len(preferred.curve),
        "search_seconds": round(seconds, 1),
    }
    title = f"What {target.name} prefers to see"
    page = write_gallery(folder, rows, preferred.images, settings, title, command_line("visualize.py"))
    _track(config, folder, rows, prior)
    _say(rows, seconds)
    return page


def load_prior(where: str | None, device: torch.device | str = "cpu") -> Prior:
    """The prior that `prior=` means: a prior file, a checkpoint, a run's folder, or None for the newest."""
    path = find_prior(where if where is None or is_shared(where) else str(from_here(where)))
    return (Prior.from_checkpoint if path.suffix == ".ckpt" else Prior.load)(path, device)


def search(
    config: DictConfig,
    method: DictConfig,
    prior: Prior,
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
) -> Preferred:
    """The method of the config, applied: one image for each objective and seed."""
    begin: str | Tensor = config.start
    if begin not in ("noise", "sample"):
        begin = read_image(from_here(begin)).unsqueeze(0).float().div(255)
        begin = torch.nn.functional.interpolate(begin, (prior.image_size,) * 2, mode="bilinear", antialias=True)
    regularizers = [instantiate(part) for part in method.regularizers.values() if part is not None]
    return maximize(
        target,
        objectives,
        instantiate(method.parametrization)(prior, begin=begin),
        instantiate(method["update"]),
        regularizers,
        seeds,
        method.steps,
        config.batch_size,
        config.seed,
        _progress,
    )


def reference_data(prior: Prior, config: DictConfig) -> ImageData | None:
    """The images that the prior was trained on, where they can be had: what a prior file names is looked up among
    our own sources, never called as code."""
    if not config.reference_images:
        return None
    known = {key: value for key, value in prior.about.get("data", {}).items() if key != "classes"}
    name = str(known.pop("_target_", "")).removeprefix("dgn.data.sources.")
    if name not in ("doodles", "image_folder"):
        log.info("No percentiles: the prior does not say what images it was trained on")
        return None
    try:
        return getattr(sources, name)(**known)
    except (UserError, TypeError) as error:
        log.info("No percentiles: the images the prior was trained on cannot be had (%s)", error)
        return None


def print_layers(net: FeatureNet) -> None:
    """A table of the network's layers: name, shape of the activations, units, kind of module."""
    table = Table(title=f"layers of {net.name}", title_justify="left")
    for heading in ("layer", "also", "shape", "units", "module"):
        table.add_column(heading, justify="right" if heading == "units" else "left", no_wrap=True)
    aliases: dict[str, list[str]] = {}
    for alias, name in net.aliases.items():
        aliases.setdefault(name, []).append(alias)
    for name, layer in net.layers().items():
        if not name.endswith(":input"):
            shape = "x".join(map(str, layer.shape))
            table.add_row(name, ", ".join(aliases.get(name, [])), shape, str(layer.units), layer.kind)
    console = Console(width=None if interactive() else 120)
    console.print(table)
    console.print("What enters a module is a layer too: NAME:input")


def _all_units(units: Any, target: FeatureNet) -> str | list[Any]:
    if units == "all":
        return f"{target.class_layer()}:all"
    return (
        units if isinstance(units, str) else OmegaConf.to_container(units) if OmegaConf.is_list(units) else str(units)
    )


def _method(config: DictConfig) -> DictConfig:
    method = config.method.copy()
    if config.start not in ("noise", "sample"):
        method = OmegaConf.merge(method, method.get("from_image") or {})
    if config.steps is not None:
        method.steps = config.steps
    if method.steps < 1:
        raise UserError(f"steps={method.steps} must be at least 1")
    return method


def _judge(config: DictConfig, prior: Prior, target: FeatureNet) -> FeatureNet | None:
    if config.judge.get("_target_"):
        judge = network(config.judge)
    elif config.judge.get("auto") and str(prior.about.get("data", {}).get("_target_", "")).endswith(".doodles"):
        judge = network(OmegaConf.create({"_target_": "dgn.networks.zoo.mini_resnet", "weights": "embedded"}))
    else:
        return None
    if target.labels and judge.labels and judge.labels != target.labels:
        log.info("The judge %s has other labels than the target: `recognized` compares names", judge.name)
    return judge.to(prior.device)


def _percentiles(
    config: DictConfig,
    data: ImageData | None,
    target: FeatureNet,
    objectives: Sequence[Objective],
    preferred: Preferred,
) -> list[float] | None:
    if data is None:
        return None
    images = (batch for batch, _ in data.real_images(config.reference_images))
    real = activations_of(target, objectives, images)
    column = {objective: i for i, objective in enumerate(objectives)}
    return percentiles(preferred.activations, real[:, [column[o] for o in preferred.objectives]])


def _rows(
    preferred: Preferred,
    ranks: Sequence[float] | None,
    verdicts: list[tuple[str, float]] | None,
    method: str,
) -> list[Row]:
    rows = []
    for i, (objective, seed) in enumerate(zip(preferred.objectives, preferred.seeds, strict=True)):
        judged, probability = verdicts[i] if verdicts else ("", None)
        wanted = {unit.label for weight, unit in objective.terms if unit.label and weight > 0}
        rows.append(
            Row(
                layer="+".join(objective.layers),
                unit="+".join(unit.short for _, unit in objective.terms),
                label=objective.label if any(unit.label for _, unit in objective.terms) else "",
                seed=seed,
                method=method,
                activation=float(preferred.activations[i]),
                percentile=ranks[i] if ranks else None,
                judge_label=judged,
                judge_probability=probability,
                recognized=judged in wanted if judged and wanted else None,
                image=f"images/{image_name(str(objective), seed)}",
                objective=str(objective),
            )
        )
    return rows


def _track(config: DictConfig, folder: Path, rows: Sequence[Row], prior: Prior) -> None:
    """The run through the config's loggers: a row for each preferred image, the contact sheet, the means."""
    makers = [instantiate(maker, _partial_=True) for maker in config.logger.values()]
    with logged(makers, plain(config)) as loggers:
        columns = [*COLUMNS, "prior"]
        table = [[*asdict(row).values(), prior.source] for row in rows]
        for line in table:
            line[columns.index("image")] = str(folder / line[columns.index("image")])
        log_table(loggers, "preferred", columns, table, picture="image")
        sheet = read_image(folder / "contact_sheet.png").float() / 255 if loggers else None
        log_pictures(loggers, "contact_sheet", [sheet], [f"{len(rows)} preferred images"], 0)
        for logger in loggers:
            logger.log_metrics(_means(rows), 0)


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """{name: mean over the images}, of what was measured."""
    found = {}
    for name in ("activation", "percentile", "judge_probability", "recognized"):
        values = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        if values:
            found[f"visualize/{name}"] = sum(values) / len(values)
    return found


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no GPU can be used here; give device=cpu or auto")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device={name!r}: give auto, cpu or cuda")
    return torch.device(name)


def _progress(steps: Iterable[int], total: int) -> Iterable[int]:
    if interactive():
        return track(steps, "searching", total=total)
    return steps


def _say(rows: Sequence[Row], seconds: float) -> None:
    judged = [row.recognized for row in rows if row.recognized is not None]
    recognized = f"; {sum(judged)} of {len(judged)} recognized by the judge" if judged else ""
    log.info("%d preferred images in %.1f s%s", len(rows), seconds, recognized)
