"""Fits a classifier to the images of a config, for task=encoder and for the embedded networks."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.cli import trainer as common
from dgn.cli.config import plain
from dgn.cli.step_settings import read_overfit, step_settings
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import save_network
from dgn.runs.folders import ENCODER, METRICS
from dgn.training.classification import Classification

log = logging.getLogger(__name__)

_MEASURES = ("val/accuracy", "val/loss", "parameters")


def fit_classifier(config: DictConfig, folder: Path, network: Callable[[DictConfig, ImageData], FeatureNet]) -> Path:
    """Fits config.encoder to config.data; returns the path of encoder.safetensors.

    Writes encoder.safetensors (weights, labels, config and metrics), metrics.json and the checkpoint into the folder.

    Args:
        config: The config of task=encoder.
        folder: The run folder.
        network: Builds the network of a config for the data.

    Raises:
        UserError: If the images have no classes.
    """
    common.start(config, folder, _MEASURES)
    pl.seed_everything(config.seed, verbose=False)
    data = instantiate(config.data)
    data.accumulate = config.get("accumulate", 1)
    data.overfit = read_overfit(config)
    if not data.classes:
        raise UserError("task=encoder needs labelled images, and these have no classes; use class folders")
    net = network(config.encoder, data)
    if net.dtype != torch.float32:
        log.info("%s has weights of %s: fitted in float32", net.name, str(net.dtype).removeprefix("torch."))
        net.network.float()
    module = Classification(
        net,
        instantiate(config.optimizer, _partial_=True),
        common.schedule(config),
        config.seed,
        config.label_smoothing,
        instantiate(config.augmentation),
        **step_settings(config),
    )
    path = folder / ENCODER
    with common.running(config, folder) as (loggers, interruption):
        trainer = common.make_trainer(config, folder, loggers, interruption)
        log.info("Fitting %s to %d images of %d classes", net.name, len(data.train_source), len(data.classes))
        metrics = common.fit(trainer, module, data, folder)
        metrics["parameters"] = sum(p.numel() for p in net.parameters())
        if trainer.is_global_zero:
            save_network(net, path, about={"config": plain(config), "metrics": metrics})
            write_whole(folder / METRICS, json.dumps(metrics, indent=2))
        trainer.strategy.barrier()  # rank 0 has written the files before any process continues
    log.info(
        "%s after %.0f s", common.format_metrics(metrics, accuracy="Validation accuracy %.3f"), metrics["fit_seconds"]
    )
    return path
