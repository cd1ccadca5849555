"""Fitting a module from the last checkpoint of its run, if there is one."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from dgn.data.datamodule import ImageData
from dgn.errors import UserError, first_line
from dgn.runs.folders import CHECKPOINT
from dgn.training.callbacks import LastValidation
from dgn.training.inversion import NonFiniteLoss
from dgn.training.resuming import check_same_networks, find_checkpoint
from dgn.training.trainer_data import TrainerData


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: ImageData, folder: Path) -> dict[str, Any]:
    """Fits from the run's last checkpoint, if there is one; returns the metrics.

    Validates at the end, unless trainer.limit_val_batches is 0.

    Args:
        trainer: Lightning's Trainer, with the callback `LastValidation`.
        module: The module to train.
        data: The images.
        folder: The folder of the run.

    Raises:
        UserError: If the checkpoint is damaged or of other networks, if Lightning refuses its settings, or if a loss is
            not finite. That message contains the step, the losses and the last good checkpoint.
    """
    path = folder / CHECKPOINT
    checkpoint = find_checkpoint(folder)
    if checkpoint is not None:
        check_same_networks(checkpoint, module)
    images = TrainerData(data)
    began = time.perf_counter()
    try:
        trainer.fit(module, images, ckpt_path=checkpoint, weights_only=True)
    except NonFiniteLoss as error:
        kept = f"the last good checkpoint is {path}" if path.exists() else "no checkpoint was written yet"
        raise UserError(
            f"a loss is not finite at {error}; {kept}. Lower optimizer.lr or the loss weights and start again"
        ) from None
    except MisconfigurationException as error:
        raise UserError(f"Lightning's Trainer refuses its settings: {first_line(error)}") from None
    except RuntimeError as error:
        if not torch.are_deterministic_algorithms_enabled() or "deterministic" not in str(error):
            raise
        raise UserError(f"trainer.deterministic=true: {first_line(error)}; give trainer.deterministic=warn") from None
    seconds, steps = time.perf_counter() - began, trainer.global_step
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (Lightning does not declare it)
    last = next(callback for callback in callbacks if isinstance(callback, LastValidation))
    if last.step != steps:
        trainer.validate(module, images, verbose=False, weights_only=True)
    return {**last.metrics, "steps": steps, "fit_seconds": round(seconds, 1)}


def format_metrics(metrics: Mapping[str, float], **formats: str) -> str:
    """Returns the text about the metrics of a run for its last line.

    Args:
        metrics: The metrics that were measured.
        formats: {a metric of validation, without val/: its format string}.
    """
    parts = [form % metrics[f"val/{name}"] for name, form in formats.items() if f"val/{name}" in metrics]
    return ", ".join(parts) or "not validated (trainer.limit_val_batches=0)"
