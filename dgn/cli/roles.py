"""The parts of a visualize or compare config: priors, target, units, judge, real images."""

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dgn.cli.config import from_here
from dgn.cli.networks import network
from dgn.data import sources
from dgn.data.datamodule import ImageData
from dgn.devices import placed
from dgn.errors import UserError
from dgn.metrics.recognition import check_independent
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check
from dgn.prior import Prior
from dgn.prior.hub import is_shared
from dgn.prior.location import find_prior

log = logging.getLogger(__name__)


def load_prior(where: str | None, device: torch.device | str = "cpu") -> Prior:
    """The prior that one name of `prior=` means.

    where: a prior file, a checkpoint, a run's folder, a shared one, or None for the newest.
    """
    if is_shared(where):
        return Prior.load(where, device)
    path = find_prior(where if where is None else str(from_here(where)))
    return (Prior.from_checkpoint if path.suffix == ".ckpt" else Prior.load)(path, device)


def priors_of(config: DictConfig, device: torch.device) -> list[Prior]:
    """The priors that `prior=` means, one or a list.

    Where none is named and the target is another network, which methods on pixels can show without any: the newest, or
    none.
    """
    given = config.prior
    names = list(given) if OmegaConf.is_list(given) else [given]
    if not names:
        raise UserError("prior=[] names no prior; give files or folders, or leave it out for the newest")
    if given is not None or config.target.get("_target_") is None:
        return [load_prior(name, device) for name in names]
    try:
        return [load_prior(None, device)]
    except UserError:
        return []


def target_of(config: DictConfig, priors: list[Prior], device: torch.device) -> FeatureNet:
    """Phi: the network of `target=`, else the encoder of the first prior."""
    if config.target.get("_target_") is None:
        target = placed(priors[0].encoder_net(), device)
    else:
        target = placed(network(config.target, image_size=priors[0].image_size if priors else None), device)
    target.classes_at = config.target.get("layer")
    for prior in priors:  # share one network if it is the same
        prior.offer(target)
    return target


def units_of(units: Any, target: FeatureNet) -> str | list[Any]:
    """Returns the value of `units=` for `parse_units`."""
    if units == "all":
        return f"{target.class_layer()}:all"
    if OmegaConf.is_list(units):
        values: Any = OmegaConf.to_container(units)
        return values
    return str(units)


def seeds_of(seeds: Any) -> list[int]:
    """Returns the seeds of `seeds=`, a number of seeds or a list. Raises UserError for no or invalid seeds."""
    several = not isinstance(seeds, int | str | float | None)
    values: list[Any] = []
    if isinstance(seeds, int):
        values = list(range(seeds))
    elif several:
        values = list(seeds)
    if not values or not all(isinstance(seed, int) for seed in values):
        raise UserError(f"seeds={seeds} asks for no image; give a number of at least 1, or a list")
    return values


def judge_of(config: DictConfig, prior: Prior | None, target: FeatureNet) -> FeatureNet | None:
    """The network of `judge=`; for auto the embedded world's, where the images are its."""
    if config.judge.get("_target_"):
        judge = network(config.judge, image_size=prior.image_size if prior else None)
        judge.classes_at = config.judge.get("layer")
    elif config.judge.get("auto") and _of_doodles(config, prior):
        judge = network(OmegaConf.create({"_target_": "dgn.networks.zoo.mini_resnet", "weights": "embedded"}))
        try:
            check_independent(judge, target)
        except UserError:
            log.info("No judge: the embedded one is the target itself; name another with judge=")
            return None
    else:
        return None
    if target.labels and judge.labels and judge.labels != target.labels:
        log.info("The judge %s has other labels than the target: `recognized` compares names", judge.name)
    placed(judge, target.device)
    check(judge, "judge", [judge.class_layer()])
    return judge


def reference_data(prior: Prior | None, config: DictConfig) -> ImageData | None:
    """Real images to measure on: those of `data=`, else those that the prior was trained on, where they can be had."""
    if config.get("data"):
        return instantiate(config.data)
    if prior is None:
        log.info("No real images to compare with: name some with data=doodles, or data=image_folder data.root=FOLDER")
        return None
    data, why = own_data(prior)
    if data is None:
        log.info("No real images to compare with: %s", why)
    return data


def own_data(prior: Prior) -> tuple[ImageData | None, str]:
    """The images that a prior was trained on, or None and why they cannot be had."""
    try:
        data = sources.known(prior.about.get("data") or {})
    except UserError as error:
        return None, f"those that the prior was trained on cannot be had ({error})"
    return data, "" if data is not None else "the prior does not say what images it was trained on"


def names_of(priors: list[Prior]) -> list[str]:
    """The names of the priors in columns and tables.

    A name is the layer that the prior inverts, with its run's folder or file where two invert the same.
    """
    layers = [prior.layer for prior in priors]
    paths = [Path(prior.source) for prior in priors]
    folders = [
        prior.source if is_shared(prior.source) else path.parent.name or path.stem
        for prior, path in zip(priors, paths, strict=True)
    ]
    longer = [f"{layer} ({folder})" for layer, folder in zip(layers, folders, strict=True)]
    longest = [f"{layer} ({path})" for layer, path in zip(layers, paths, strict=True)]
    first = [layer if layers.count(layer) == 1 else long for layer, long in zip(layers, longer, strict=True)]
    return [name if first.count(name) == 1 else long for name, long in zip(first, longest, strict=True)]


def _of_doodles(config: DictConfig, prior: Prior | None) -> bool:
    data = config.get("data") or (prior.about.get("data") if prior else None) or {}
    return str(data.get("_target_", "")).endswith(".doodles")
