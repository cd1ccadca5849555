"""What both training tasks do: the trainer with its callbacks, the run."""

import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.config import plain
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.runs import CHECKPOINT, CONFIG
from dgn.terminal import interactive
from dgn.training.callbacks import AtomicCheckpointIO, Checkpoints, Throughput
from dgn.training.inversion import NonFiniteLoss
from dgn.training.precision import resolve_precision

log = logging.getLogger(__name__)


def start(config: DictConfig, folder: Path) -> None:
    """Writes the resolved config into the run's folder (first thing: it marks the folder as a run's), and silences
    what Lightning says to developers."""
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    torch.set_flush_denormal(True)  # CPUs are slow with denormal numbers; none of ours matters
    torch.set_float32_matmul_precision("high")
    if not (folder / CONFIG).exists():
        write_whole(folder / CONFIG, yaml.safe_dump(plain(config), sort_keys=False))


def make_trainer(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """Lightning's Trainer of the config, with our checkpoints, progress and precision."""
    steps = config.trainer.max_steps
    if steps < 1:
        raise UserError(f"trainer.max_steps={steps} must be at least 1")
    bar = bool(config.trainer.enable_progress_bar) and interactive()
    command = f"python train.py resume={folder}"
    ours: list[pl.Callback] = [
        Checkpoints(folder, config.checkpoint.every_n_steps, command),
        Throughput(config.trainer.log_every_n_steps, lines=bool(config.trainer.enable_progress_bar) and not bar),
    ]
    if bar:
        ours.append(pl.callbacks.RichProgressBar(leave=True))
    logger = instantiate(config.logger) if config.logger.get("_target_") else False
    return instantiate(
        config.trainer,
        precision=resolve_precision(config.trainer.precision, config.trainer.accelerator),
        enable_progress_bar=bar,
        val_check_interval=min(config.trainer.val_check_interval, steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        callbacks=[*ours, *callbacks],
        logger=logger,
        plugins=[AtomicCheckpointIO()],
    )


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: ImageData, folder: Path) -> dict[str, Any]:
    """Fits from the run's last checkpoint, if there is one; validates at the end; returns the metrics.

    Raises UserError where a loss is not finite, naming the step, the terms and the last good checkpoint."""
    checkpoint = folder / CHECKPOINT
    began = time.perf_counter()
    try:
        trainer.fit(module, data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    except NonFiniteLoss as error:
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "no checkpoint was written yet"
        raise UserError(
            f"a loss is not finite at {error}; {kept}. Lower optimizer.lr or the loss weights and start again"
        ) from None
    seconds = time.perf_counter() - began
    found = trainer.validate(module, data, verbose=False, weights_only=True)[0]
    return {**found, "steps": trainer.global_step, "fit_seconds": round(seconds, 1)}


def schedule(config: DictConfig) -> Any:
    """The maker of the config's schedule. A task's schedule leaves keys of another's behind as null."""
    return instantiate({key: value for key, value in config.schedule.items() if value is not None})
