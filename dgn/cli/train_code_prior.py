"""task=code_prior: fit a denoising autoencoder over a prior's codes, from the config to code_prior.safetensors."""

import json
import logging
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from dgn.cli.roles import load_prior, own_data
from dgn.cli.run_start import start
from dgn.cli.trainer import make_trainer, running
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.prior import Prior
from dgn.prior.code_prior import CodeAutoencoder, CodePrior, about_codes
from dgn.runs.folders import CODE_PRIOR, METRICS
from dgn.training.denoising import CodeData, Denoising
from dgn.training.fitting import fit, format_metrics

log = logging.getLogger(__name__)

_MEASURES = ("val/noise_left", "val/loss", "total_seconds")


def fit_code_prior(config: DictConfig, folder: Path) -> Path:
    """Fits a prior over the codes of config.prior; returns the path of code_prior.safetensors.

    The codes are those of the images that config.prior was trained on. Writes code_prior.safetensors, metrics.json and
    the checkpoint into the folder.
    """
    began = time.perf_counter()
    if config.code_prior.noise <= 0 or config.code_prior.images < 2:
        raise UserError("code_prior.noise must be positive and code_prior.images at least 2")
    run = start(config, folder, _MEASURES)
    prior = load_prior(config.prior, run.device)
    data, why = own_data(prior)
    if data is None:
        raise UserError(f"a prior over codes is fitted to the images that the prior was trained on; {why}")
    prior.encoder_net()
    pl.seed_everything(run.seed, verbose=False)
    train, val = (_codes(prior, data, config.code_prior.images, split) for split in ("train", "val"))
    autoencoder = CodeAutoencoder(prior.code_shape, config.code_prior.width, prior.statistics.rectified)
    autoencoder.set_statistics(prior.statistics.mean, prior.statistics.std)
    module = Denoising(
        autoencoder,
        run.make_optimizer,
        run.make_schedule,
        config.code_prior.noise,
        run.seed,
        accumulate=run.accumulate,
        gradient_clip=run.gradient_clip,
    )
    codes = CodeData(train, val, config.code_prior.batch_size, run.seed)
    codes.accumulate = run.accumulate
    with running(run) as (loggers, interruption):
        trainer = make_trainer(run, loggers, interruption)
        log.info("Fitting a prior over codes of %s to %d images' (%s)", prior.layer, len(train), prior.source)
        metrics = fit(trainer, module, codes, folder)
        metrics |= {"total_seconds": round(time.perf_counter() - began, 1)}
        if trainer.is_global_zero:
            about = about_codes(prior) | {"noise": config.code_prior.noise, "metrics": metrics, "config": run.config}
            CodePrior(autoencoder, about).save(folder / CODE_PRIOR)
            write_whole(folder / METRICS, json.dumps(metrics, indent=2))
        trainer.strategy.barrier()  # all processes find what rank 0 has written
    summary = format_metrics(metrics, noise_left="Of the noise, a share of %.3f is left on held-out codes")
    log.info("%s; %.0f s in total", summary, metrics["total_seconds"])
    return folder / CODE_PRIOR


def _codes(prior: Prior, data: ImageData, count: int, split: str) -> torch.Tensor:
    """(images, *code_shape), on the CPU: codes of the prior's training images, augmented as in its training."""
    found = [prior.encode(images.to(prior.device)).cpu() for images, _ in data.real_images(count, split)]
    return torch.cat(found)
