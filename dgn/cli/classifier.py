"""Fits a classifier to the images of a config, for task=encoder and for the embedded networks."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate

from dgn.cli.run_settings import open_training_data
from dgn.cli.run_start import start
from dgn.cli.trainer import make_trainer, running
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import save_network
from dgn.runs.folders import ENCODER, METRICS
from dgn.training.classification import Classification
from dgn.training.fitting import fit, format_metrics
from dgn.training.snapshots import Snapshots

log = logging.getLogger(__name__)

_MEASURES = ("val/accuracy", "val/loss", "parameters")


def fit_classifier(
    config: Mapping[str, Any], folder: Path, network: Callable[[Mapping[str, Any], ImageData], FeatureNet]
) -> Path:
    """Fits config.encoder to config.data; returns the path of encoder.safetensors.

    Writes encoder.safetensors (weights, labels, config and metrics), metrics.json, the checkpoint, and after each step
    of config.snapshots snapshots/STEP.safetensors into the folder.

    Args:
        config: The config of task=encoder.
        folder: The run folder.
        network: Builds the network of settings for the data.

    Raises:
        UserError: If the images have no classes.
    """
    run = start(config, folder, _MEASURES)
    label_smoothing, augmentation = config["label_smoothing"], instantiate(config["augmentation"])
    pl.seed_everything(run.seed, verbose=False)
    data = open_training_data(config["data"], run)
    if not data.classes:
        raise UserError("task=encoder needs labelled images, and these have no classes; use class folders")
    net = network(config["encoder"], data)
    if net.dtype != torch.float32:
        log.info("%s has weights of %s: fitted in float32", net.name, str(net.dtype).removeprefix("torch."))
        net.network.float()
    module = Classification(net, run.learning, label_smoothing, augmentation)
    path = folder / ENCODER
    with running(run) as (loggers, interruption):
        steps = config.get("snapshots") or []  # configs saved by earlier versions have none
        trainer = make_trainer(run, loggers, interruption, [Snapshots(net, steps, folder)] if steps else [])
        log.info("Fitting %s to %d images of %d classes", net.name, len(data.train_source), len(data.classes))
        metrics = fit(trainer, module, data, folder)
        metrics["parameters"] = sum(p.numel() for p in net.parameters())
        if trainer.is_global_zero:
            save_network(net, path, about={"config": run.config, "metrics": metrics})
            write_whole(folder / METRICS, json.dumps(metrics, indent=2))
        trainer.strategy.barrier()  # rank 0 has written the files before any process continues
    log.info("%s after %.0f s", format_metrics(metrics, accuracy="Validation accuracy %.3f"), metrics["fit_seconds"])
    return path
