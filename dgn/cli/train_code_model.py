"""task=code_prior kind=diffusion: fit the code model of an existing prior, from the config to its file."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dgn.cli.prior_training import read_code_model_fit
from dgn.cli.run_start import start
from dgn.cli.train_code_prior import prior_and_images
from dgn.cli.trainer import running, stopping
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.prior import Prior
from dgn.prior.code_model import to_coordinates
from dgn.prior.principal import AXES, AxesFit, PrincipalAxes
from dgn.runs.folders import METRICS, PRIOR
from dgn.runs.loggers import log_prior

log = logging.getLogger(__name__)

_MEASURES = ("code_model/frechet", "val/noise_left", "total_seconds")
_HELD_OUT = 512
_FOR_AXES = 2000  # images from which principal axes are computed, if the prior has none


def fit_code_model(config: Mapping[str, Any], folder: Path) -> Path:
    """Fits the code model of config.prior anew; returns the path of prior.safetensors, the prior with the model.

    Writes prior.safetensors and metrics.json into the folder.
    """
    began = time.perf_counter()
    run = start(config, folder, _MEASURES)
    fitting = read_code_model_fit(run.config)
    if fitting is None:
        raise UserError("code_model=none fits no code model; give code_model=diffusion")
    images = config["code_prior"]["images"]
    if images < 2:
        raise UserError("code_prior.images must be at least 2")
    prior, data = prior_and_images(config, run.device)
    with running(run) as (loggers, interruption):
        _add_axes(prior, data)
        log.info("Fitting a code model of %s to %d images (%s)", prior.layer, images, prior.source)
        train, held_out = (
            _coordinates(prior, data, count, split) for count, split in ((images, "train"), (_HELD_OUT, "val"))
        )
        stop = stopping(run, interruption, "while the code model was fitted")
        prior.code_model, figures = fitting.fit(train, held_out, run.seed, run.device, stop)
        if prior.code_model is None:
            raise UserError(f"{len(train)} codes are too few for a code model; give more images")
        metrics = figures | {"total_seconds": round(time.perf_counter() - began, 1)}
        earlier = prior.about.get("metrics", {})
        prior.about = prior.about | {"metrics": {**earlier, **metrics}, "code_model": run.config["code_model"]}
        prior.save(folder / PRIOR)
        write_whole(folder / METRICS, json.dumps(metrics, indent=2))
        log_prior(loggers, folder / PRIOR, prior.about)
    log.info("%s; %.0f s in total", describe_quality(metrics), metrics["total_seconds"])
    return folder / PRIOR


def describe_quality(metrics: dict[str, float]) -> str:
    """Returns a run's line about its code model."""
    if "code_model/frechet" not in metrics:
        return "code model: quality not measured"
    return "code model: Frechet distance of samples to held-out codes {:.3f}, of training codes {:.3f}".format(
        metrics["code_model/frechet"], metrics["code_model/frechet_real"]
    )


def _add_axes(prior: Prior, data: ImageData) -> None:
    """Adds principal axes to the statistics of a prior that has none."""
    if prior.principal is not None:
        return
    fit = AxesFit(AXES)
    for codes in _codes(prior, data, _FOR_AXES, "train"):
        fit.add(codes)
    axes, std = fit.axes()
    prior.statistics = replace(prior.statistics, axes=axes, axes_std=std)


def _coordinates(prior: Prior, data: ImageData, count: int, split: str) -> torch.Tensor:
    """Returns the coordinates (images, k) of real codes along the prior's principal axes, on the CPU."""
    axes = prior.principal
    assert isinstance(axes, PrincipalAxes)  # added where there were none
    return torch.cat([to_coordinates(codes, axes).cpu() for codes in _codes(prior, data, count, split)])


def _codes(prior: Prior, data: ImageData, count: int, split: str) -> Iterator[torch.Tensor]:
    return (prior.encode(images.to(prior.device)) for images, _ in data.real_images(count, split))
