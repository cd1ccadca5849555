"""visualize.py: from a prior and a list of units to a gallery."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.progress import track
from torch import Tensor

from dgn.am.diversity import Diversity
from dgn.am.evaluation import activations_of
from dgn.am.maximize import Preferred, maximize
from dgn.am.objectives import Objective, parse_units
from dgn.am.setting import Setting
from dgn.am.terms import factors
from dgn.code_prior import CodePrior
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
from dgn.report.contents import Trace
from dgn.report.gallery import write_gallery
from dgn.report.results import COLUMNS, Row
from dgn.runs import CODE_PRIOR, OUTPUTS, find_prior
from dgn.sharing import is_shared
from dgn.tasks.methods import method_for, stages_of
from dgn.tasks.networks import asked_to_list, network, print_layers
from dgn.terminal import interactive

log = logging.getLogger(__name__)


def visualize(config: DictConfig, folder: Path) -> Path | None:
    """Maximizes config.units by config.method, judges what came out and writes the gallery into the folder;
    returns the page's path. With target.layers=list (or judge.layers=list), prints that network's layers instead."""
    device = _device(config.device)
    own = config.target.get("_target_") is None
    listed = asked_to_list(config, "target", "judge")
    if listed is not None:
        mine = listed == "target" and own
        print_layers(load_prior(config.prior, device).encoder_net() if mine else network(config[listed]), listed)
        return None
    prior = load_prior(config.prior, device) if own or config.prior is not None else newest_prior(device)
    size = prior.image_size if prior else None
    target = (prior.encoder_net() if own else network(config.target, image_size=size)).to(device)
    target.classes_at = config.target.get("layer")
    if prior is not None and not own:
        prior.offer(target)
    objectives = parse_units(_all_units(config.units, target), target)
    seeds = list(range(config.seeds)) if isinstance(config.seeds, int) else list(config.seeds)
    if not seeds:
        raise UserError(f"seeds={config.seeds} asks for no image; give a number of at least 1, or a list")
    data = reference_data(prior, config)
    began = time.perf_counter()
    method = method_for(config.method, config.start, config.steps)
    log.info("%s: %d objectives x %d seeds in %s", method.name, len(objectives), len(seeds), target.name)
    preferred = search(config, method, prior, target, objectives, seeds, data)
    seconds = time.perf_counter() - began
    ranks = _percentiles(config, data, target, objectives, preferred)
    verdicts = recognize(_judge(config, prior, target), preferred.images.to(device))
    rows = _rows(preferred, ranks, verdicts, method.name)
    settings = plain(config) | {
        "prior": prior.source if prior else None,
        "prior_layer": prior.layer if prior else None,
        "target": target.name,
        "steps": len(preferred.curve),
        "search_seconds": round(seconds, 1),
    }
    title = f"What {target.name} prefers to see"
    traces = [Trace(curve) for curve in preferred.curve.T.tolist()]
    page = write_gallery(folder, rows, preferred.images, settings, title, command_line("visualize.py"), traces=traces)
    _track(config, folder, rows, prior)
    _say(rows, seconds)
    return page


def load_prior(where: str | None, device: torch.device | str = "cpu") -> Prior:
    """The prior that `prior=` means: a prior file, a checkpoint, a run's folder, or None for the newest."""
    path = find_prior(where if where is None or is_shared(where) else str(from_here(where)))
    return (Prior.from_checkpoint if path.suffix == ".ckpt" else Prior.load)(path, device)


def newest_prior(device: torch.device | str = "cpu") -> Prior | None:
    """The newest prior under outputs/, where there is one: methods on pixels need none."""
    try:
        return load_prior(None, device)
    except UserError:
        return None


def search(
    config: DictConfig,
    method: DictConfig,
    prior: Prior | None,
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    data: ImageData | None,
) -> Preferred:
    """A method (of `dgn.tasks.methods.method_for`), applied: one image for each objective and seed. data: real images
    for what a method measures of them."""
    begin: str | Tensor = config.start
    if begin not in ("noise", "sample"):
        begin = read_image(from_here(begin)).unsqueeze(0).float().div(255)
    setting = Setting(
        target,
        prior,
        config.image_size if config.image_size is None or isinstance(config.image_size, int) else (*config.image_size,),
        _images(data),
        begin,
        lambda: load_code_prior(config.code_prior, setting.codes()),
    )
    diversity = Diversity(config.diversity, config.diversity_layer) if config.diversity else None
    stages = stages_of(method, setting)
    return maximize(target, objectives, stages, seeds, config.batch_size, config.seed, diversity, _progress)


def load_code_prior(where: str | None, prior: Prior) -> CodePrior:
    """The prior over codes that `code_prior=` means: a file, a run's folder, or None for the newest under outputs/ that
    was fitted to this prior's codes."""
    if where is not None:
        path = from_here(where)
        return CodePrior.load(path / CODE_PRIOR if path.is_dir() else path)
    for path in sorted(OUTPUTS.glob(f"*/*/{CODE_PRIOR}"), key=lambda path: path.stat().st_mtime, reverse=True):
        found = CodePrior.load(path)
        if found.fits(prior):
            return found
    raise UserError(
        f"this method needs a prior over the codes of {prior.source}, and {OUTPUTS}/ holds none; fit one with "
        f"`python train.py task=code_prior prior={prior.source}`, or name one with code_prior=FILE"
    )


def reference_data(prior: Prior | None, config: DictConfig) -> ImageData | None:
    """Real images to measure on: those of `data=`, else those that the prior was trained on, where they can be had."""
    if config.get("data"):
        return instantiate(config.data)
    if prior is None:
        log.info("No real images to compare with: name some with data=doodles, or data=image_folder data.root=FOLDER")
        return None
    data, why = own_data(prior)
    if data is None:
        log.info("No percentiles: %s", why)
    return data


def own_data(prior: Prior) -> tuple[ImageData | None, str]:
    """The images that a prior was trained on, or None and why they cannot be had."""
    try:
        data = sources.known(prior.about.get("data") or {})
    except UserError as error:
        return None, f"the images the prior was trained on cannot be had ({error})"
    return data, "" if data is not None else "the prior does not say what images it was trained on"


def _all_units(units: Any, target: FeatureNet) -> str | list[Any]:
    if units == "all":
        return f"{target.class_layer()}:all"
    return (
        units if isinstance(units, str) else OmegaConf.to_container(units) if OmegaConf.is_list(units) else str(units)
    )


def _images(data: ImageData | None) -> Callable[[int], Iterator[Tensor]] | None:
    return None if data is None else lambda count: (batch for batch, _ in data.real_images(count))


def _judge(config: DictConfig, prior: Prior | None, target: FeatureNet) -> FeatureNet | None:
    if config.judge.get("_target_"):
        judge = network(config.judge, image_size=prior.image_size if prior else None)
        judge.classes_at = config.judge.get("layer")
    elif config.judge.get("auto") and _of_doodles(config, prior):
        judge = network(OmegaConf.create({"_target_": "dgn.networks.zoo.mini_resnet", "weights": "embedded"}))
    else:
        return None
    if target.labels and judge.labels and judge.labels != target.labels:
        log.info("The judge %s has other labels than the target: `recognized` compares names", judge.name)
    return judge.to(next(target.parameters()).device)


def _of_doodles(config: DictConfig, prior: Prior | None) -> bool:
    data = config.get("data") or (prior.about.get("data", {}) if prior else {})
    return str(data.get("_target_", "")).endswith(".doodles")


def _percentiles(
    config: DictConfig,
    data: ImageData | None,
    target: FeatureNet,
    objectives: Sequence[Objective],
    preferred: Preferred,
) -> list[float] | None:
    if data is None or not config.reference_images:
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
        wanted = {factor.label for weight, term in objective.terms if weight > 0 for factor in factors(term)} - {""}
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
