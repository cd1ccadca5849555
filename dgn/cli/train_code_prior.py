"""task=code_prior: learn the prior over a prior's codes, from the config to the file.

kind=autoencoder fits a denoising autoencoder and writes code_prior.safetensors. kind=diffusion is
`dgn.cli.train_code_model`.
"""

import json
import logging
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.cli import trainer as common
from dgn.cli.config import given_overrides, plain
from dgn.cli.roles import load_prior, own_data
from dgn.cli.step_settings import step_settings
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.prior import Prior
from dgn.prior.code_prior import CodeAutoencoder, CodePrior, about_codes
from dgn.runs.folders import CODE_PRIOR, METRICS
from dgn.training.denoising import CodeData, Denoising

log = logging.getLogger(__name__)

_MEASURES = ("val/noise_left", "val/loss", "total_seconds")


def fit_code_prior(config: DictConfig, folder: Path) -> Path:
    """Fits a prior over the codes of config.prior, of the kind that the group `kind` names; returns the file's path."""
    return instantiate(config.code_prior.fit)(config, folder)


def fit_autoencoder(config: DictConfig, folder: Path) -> Path:
    """Fits a denoising autoencoder over the codes of config.prior; returns the path of code_prior.safetensors.

    Writes code_prior.safetensors, metrics.json and the checkpoint into the folder.
    """
    began = time.perf_counter()
    if config.code_prior.noise <= 0 or config.code_prior.images < 2:
        raise UserError("code_prior.noise must be positive and code_prior.images at least 2")
    common.start(config, folder, _MEASURES)
    device = common.device(config.trainer)
    prior = load_prior(config.prior, device)
    data = images_of(config, prior)
    prior.encoder_net()
    pl.seed_everything(config.seed, verbose=False)
    train, val = (_codes(prior, data, config.code_prior.images, split) for split in ("train", "val"))
    autoencoder = CodeAutoencoder(prior.code_shape, config.code_prior.width, prior.statistics.rectified)
    autoencoder.set_statistics(prior.statistics.mean, prior.statistics.std)
    optimizer = instantiate(config.optimizer, _partial_=True)
    steps = step_settings(config)
    module = Denoising(autoencoder, optimizer, common.schedule(config), config.code_prior.noise, config.seed, **steps)
    codes = CodeData(train, val, config.code_prior.batch_size, config.seed)
    codes.accumulate = steps["accumulate"]
    with common.running(config, folder) as (loggers, interruption):
        trainer = common.make_trainer(config, folder, loggers, interruption)
        log.info("Fitting a prior over codes of %s to %d images' (%s)", prior.layer, len(train), prior.source)
        metrics = common.fit(trainer, module, codes, folder)
        metrics |= {"total_seconds": round(time.perf_counter() - began, 1)}
        if trainer.is_global_zero:
            about = about_codes(prior) | {"noise": config.code_prior.noise, "metrics": metrics, "config": plain(config)}
            CodePrior(autoencoder, about).save(folder / CODE_PRIOR)
            write_whole(folder / METRICS, json.dumps(metrics, indent=2))
        trainer.strategy.barrier()  # all processes find what rank 0 has written
    summary = common.format_metrics(metrics, noise_left="Of the noise, a share of %.3f is left on held-out codes")
    log.info("%s; %.0f s in total", summary, metrics["total_seconds"])
    return folder / CODE_PRIOR


def images_of(config: DictConfig, prior: Prior) -> ImageData:
    """Returns the images of `data=` if the command line has it, else those that the prior was trained on.

    Raises UserError if these are not known.
    """
    if any(word.lstrip("+").split("=")[0] == "data" for word in given_overrides()):
        return instantiate(config.data)
    data, why = own_data(prior)
    if data is None:
        raise UserError(
            f"a prior over codes is fitted to the images that the prior was trained on; {why}; name a folder of such "
            "images with data=image_folder data.root=FOLDER"
        )
    return data


def _codes(prior: Prior, data: ImageData, count: int, split: str) -> torch.Tensor:
    """(images, *code_shape), on the CPU: codes of the prior's training images, augmented as in its training."""
    found = [prior.encode(images.to(prior.device)).cpu() for images, _ in data.real_images(count, split)]
    return torch.cat(found)
