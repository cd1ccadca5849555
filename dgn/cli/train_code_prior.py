"""task=code_prior: fit a denoising autoencoder over a prior's codes, from the config to code_prior.safetensors."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate

from dgn.cli.config import given_overrides
from dgn.cli.roles import load_prior, named_code, named_network, own_data
from dgn.cli.run_settings import RunSettings
from dgn.cli.run_start import start
from dgn.cli.trainer import make_trainer, running
from dgn.data.datamodule import ImageData
from dgn.data.size import typed
from dgn.devices import placed
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.zoo import named
from dgn.prior import Prior
from dgn.prior.code_prior import CodeAutoencoder, CodePrior, about_codes
from dgn.runs.folders import CODE_PRIOR, METRICS
from dgn.runs.progress import announced
from dgn.training.denoising import CodeData, Denoising
from dgn.training.fitting import fit, format_metrics

log = logging.getLogger(__name__)

_MEASURES = ("val/noise_left", "val/loss", "total_seconds")


@dataclass(frozen=True)
class CodePriorSettings:
    """The settings of `code_prior`.

    Attributes:
        images: the number of codes.
        noise: standard deviation of the noise, in root mean square standard deviations of the code's units.
        width: width of the hidden layers, relative to the paper's.
        batch_size: codes of a training batch.
    """

    images: int
    noise: float
    width: float
    batch_size: int

    def __post_init__(self) -> None:
        if self.noise <= 0 or self.images < 2:
            raise UserError("code_prior.noise must be positive and code_prior.images at least 2")


def fit_code_prior(config: Mapping[str, Any], folder: Path) -> Path:
    """Fits a prior over the codes of config.prior, of the kind that the group `kind` names; returns the file's path."""
    path: Path = instantiate(config["code_prior"]["fit"])(config, folder)
    return path


def fit_autoencoder(config: Mapping[str, Any], folder: Path) -> Path:
    """Fits a denoising autoencoder over the codes of config.prior; returns the path of code_prior.safetensors.

    Writes code_prior.safetensors, metrics.json and
    the checkpoint into the folder.
    """
    began = time.perf_counter()
    settings = CodePriorSettings(**{key: value for key, value in config["code_prior"].items() if key != "fit"})
    run = start(config, folder, _MEASURES)
    prior, data = prior_and_images(config, run.device)
    pl.seed_everything(run.seed, verbose=False)
    train, val = (_codes(prior, data, settings.images, split) for split in ("train", "val"))
    return _train(settings, run, prior, train, val, began)


def _train(
    settings: CodePriorSettings, run: RunSettings, prior: Prior, train: torch.Tensor, val: torch.Tensor, began: float
) -> Path:
    """Fits the autoencoder to codes (N, *code_shape); returns its path. `began` is the time at which the run began."""
    autoencoder = CodeAutoencoder(prior.code_shape, settings.width, prior.statistics.rectified)
    autoencoder.set_statistics(prior.statistics.mean, prior.statistics.std)
    module = Denoising(autoencoder, run.learning, settings.noise)
    codes = CodeData(train, val, settings.batch_size, run.seed)
    codes.accumulate = run.learning.accumulate
    with running(run) as (loggers, interruption):
        trainer = make_trainer(run, loggers, interruption)
        log.info("Fitting a prior over codes of %s to %d images' (%s)", prior.layer, len(train), prior.source)
        metrics = fit(trainer, module, codes, run.folder)
        metrics |= {"total_seconds": round(time.perf_counter() - began, 1)}
        if trainer.is_global_zero:
            about = about_codes(prior) | {"noise": settings.noise, "metrics": metrics, "config": run.config}
            CodePrior(autoencoder, about).save(run.folder / CODE_PRIOR)
            write_whole(run.folder / METRICS, json.dumps(metrics, indent=2))
        trainer.strategy.barrier()  # all processes find what rank 0 has written
    summary = format_metrics(metrics, noise_left="Of the noise, a share of %.3f is left on held-out codes")
    log.info("%s; %.0f s in total", summary, metrics["total_seconds"])
    return run.folder / CODE_PRIOR


def prior_and_images(config: Mapping[str, Any], device: torch.device) -> tuple[Prior, ImageData]:
    """Loads config.prior with the network that it inverts, and the images whose codes are wanted (`images_of`).

    The network is that of `encoder=` if the command line has it, as for a network of the user's own code.

    Raises:
        UserError: If the network is missing or another one.
    """
    prior = load_prior(config["prior"], device, code=named_code(config))
    data = images_of(config["data"], prior)
    known = prior.about["encoder"]
    named_one = _given("encoder")
    if named_one:
        prior.offer(placed(named_network(config["encoder"], [prior], data, "encoder"), device))
    try:
        prior.encoder_net()
    except UserError:
        if prior.encoder_tensors or not known["spec"] or known["fingerprint"] is None:
            raise  # the file is damaged, or its own message says more
        what = f"{prior.source} does not hold the network that it inverts"
        if named_one:
            what = f"the network of encoder= is not the one that {prior.source} inverts"
        raise UserError(f"{what}; name it: {named(known['spec'], 'encoder')}") from None
    return prior, data


def _given(group: str) -> bool:
    """Whether the command line chooses an option of a config group."""
    return any(word.lstrip("+").split("=")[0] == group for word in given_overrides())


def images_of(settings: Mapping[str, Any], prior: Prior) -> ImageData:
    """Returns the images of `data=` if the command line has it, else those that the prior was trained on.

    Args:
        settings: The `data` group of the config.
        prior: The prior.

    Raises:
        UserError: If the images of the prior are not known.
    """
    if _given("data"):
        given: ImageData = instantiate(settings)
        return given
    data, why = own_data(prior)
    if data is None:
        raise UserError(
            f"codes of the images that the prior was trained on are needed; {why}; name a folder of such images with "
            f"data=image_folder data.root=FOLDER data.image_size={typed(prior.image_size)}"
        )
    return data


def _codes(prior: Prior, data: ImageData, count: int, split: str) -> torch.Tensor:
    """(images, *code_shape), on the CPU: codes of the prior's training images, augmented as in its training."""
    read = announced(
        data.real_images(count, split),
        count,
        f"Computing the codes of {split} images, which the prior over codes is fitted to",
        "fewer with code_prior.images=N",
        64,
    )
    return torch.cat([prior.encode(images.to(prior.device)).cpu() for images, _ in read])
