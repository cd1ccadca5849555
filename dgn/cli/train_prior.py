"""task=prior: train a generator to invert a layer, from the config to prior.safetensors."""

import json
import logging
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from dgn.cli import trainer as common
from dgn.cli.config import plain
from dgn.cli.network_report import report_accuracy
from dgn.cli.networks import network
from dgn.cli.step_settings import read_overfit, step_settings
from dgn.data.datamodule import ImageData
from dgn.devices import placed
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check
from dgn.prior.statistics import UnitStatistics
from dgn.runs.folders import METRICS, PRIOR
from dgn.runs.loggers import log_prior
from dgn.training.callbacks import Reconstructions
from dgn.training.code_statistics import code_statistics, saved_statistics
from dgn.training.inversion import Inversion, Networks
from dgn.training.resuming import find_checkpoint
from dgn.training.train_prior import carried_tensors

log = logging.getLogger(__name__)

_MEASURES = ("val/psnr", "val/feature_distance", "val/code_error", "generator_parameters", "total_seconds")


def fit_prior(config: DictConfig, folder: Path) -> Path:
    """Trains G to invert config.encoder.layer; returns the prior's path.

    Writes the prior, metrics.json, checkpoints and reconstructions into the folder.
    """
    began = time.perf_counter()
    command = common.start(config, folder, _MEASURES)
    data = instantiate(config.data)
    data.accumulate = config.get("accumulate", 1)
    data.overfit = read_overfit(config)
    encoder, comparator, layers = _networks(config, data)
    report_accuracy("encoder", encoder, data, folder)
    if comparator is not None:
        report_accuracy("comparator", comparator, data, folder)
    codes, scales = _statistics(config, folder, data, encoder, comparator or encoder, layers)
    module = _inversion(config, data, encoder, comparator, layers, codes, scales)
    module.about["command"] = command
    shown = next(data.real_images(16, "val"))[0]
    with common.running(config, folder) as (loggers, interruption):
        trainer = common.make_trainer(config, folder, loggers, interruption, [Reconstructions(folder, shown)])
        log.info(
            "Training a prior: inverting %s of %s (code %s) at %d px, %d steps of %d images, %s",
            config.encoder.layer, encoder.name, "x".join(map(str, codes.mean.shape)), data.image_size,
            config.trainer.max_steps, data.step_size, trainer.precision,
        )  # fmt: skip
        metrics = common.fit(trainer, module, data, folder)
        metrics |= {
            "generator_parameters": sum(p.numel() for p in module.generator.parameters()),
            "total_seconds": round(time.perf_counter() - began, 1),
        }
        module.about["metrics"] = metrics
        module.about["training"]["steps"] = metrics["steps"]  # fewer where max_time or a callback ended it
        if trainer.is_global_zero:
            module.prior().save(folder / PRIOR)
            write_whole(folder / METRICS, json.dumps(metrics, indent=2))
            log_prior(loggers, folder / PRIOR, module.about)
        trainer.strategy.barrier()  # all processes find what rank 0 has written
    summary = common.format_metrics(
        metrics, psnr="PSNR %.2f dB", feature_distance="feature distance %.3f", code_error="code error %.3f"
    )
    log.info("%s; %.0f s in total", summary, metrics["total_seconds"])
    return folder / PRIOR


def _networks(config: DictConfig, data: ImageData) -> tuple[FeatureNet, FeatureNet | None, list[str]]:
    """Builds and checks E and C on the run's device, sets the config's encoder.layer, and seeds the run.

    Returns:
        E, C (None: it is E), and the layers that are compared.
    """
    encoder = network(config.encoder, data)
    comparator = network(config.comparator, data) if config.comparator.get("_target_") else None
    with open_dict(config):
        config.encoder.layer = encoder.code_layer() if config.encoder.layer == "auto" else config.encoder.layer
    # Networks that were fitted on the way have drawn random numbers, those that were there have not.
    pl.seed_everything(config.seed, verbose=False)
    layers = _comparator_layers(config, comparator or encoder)
    device = common.device(config.trainer)
    encoder, comparator = placed(encoder, device), comparator and placed(comparator, device)
    check(encoder, "encoder", [config.encoder.layer])
    if config.loss.feature > 0:  # else nothing is learned from its gradient
        check(comparator or encoder, "comparator", layers)
    return encoder, comparator, layers


def _statistics(
    config: DictConfig,
    folder: Path,
    data: ImageData,
    encoder: FeatureNet,
    comparator: FeatureNet,
    layers: list[str],
) -> tuple[UnitStatistics, dict[str, float]]:
    """Returns the statistics of the code's units, and the scales of the compared features.

    A resumed run has measured them when it began.
    """
    checkpoint = find_checkpoint(folder)
    saved = None if checkpoint is None else saved_statistics(checkpoint, config.encoder.layer)
    return saved or code_statistics(
        data,
        encoder,
        config.encoder.layer,
        comparator,
        layers,
        config.statistics.images,
        bool(config.loss.get("raw_features")),
        config.statistics.get("split", "train"),
    )


def _inversion(
    config: DictConfig,
    data: ImageData,
    encoder: FeatureNet,
    comparator: FeatureNet | None,
    layers: list[str],
    codes: UnitStatistics,
    scales: dict[str, float],
) -> Inversion:
    """Builds G, D and the LightningModule that trains them."""
    generator = instantiate(config.generator, code_shape=tuple(codes.mean.shape), image_size=data.image_size)
    discriminator = instantiate(
        {k: v for k, v in config.discriminator.items() if k not in ("conditional", "update")},
        image_size=data.image_size,
        code_shape=tuple(codes.mean.shape) if config.discriminator.conditional else None,
    )
    for net in (generator, discriminator):
        net.to(memory_format=torch.channels_last)
    carried = None if config.export.encoder == "auto" else bool(config.export.encoder)
    return Inversion(
        Networks(encoder, config.encoder.layer, generator, discriminator, comparator, layers, scales),
        codes,
        instantiate(config.optimizer, _partial_=True),
        common.schedule(config),
        weights=instantiate(config.loss),
        ema_decay=config.ema_decay,
        seed=config.seed,
        compile=config.compile,
        **step_settings(config),
        discriminator_update=config.discriminator.get("update", "joint"),
        about=_about(config, encoder, data),
        encoder_tensors=carried_tensors(encoder, carried),
    )


def _comparator_layers(config: DictConfig, comparator: FeatureNet) -> list[str]:
    layers = config.comparator.get("layer") or config.comparator.layers
    names = [comparator.trunk()] if layers == "auto" else [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise UserError("comparator.layers names none; give a list of layers, or auto")
    for name in names:
        comparator.layer(name)
    return names


def _about(config: DictConfig, encoder: FeatureNet, data: ImageData) -> dict:
    return {
        "layer": config.encoder.layer,
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": plain(config.data) | {"classes": list(data.classes)},
        "training": {"steps": config.trainer.max_steps, "images": len(data.train_source)},
        "config": plain(config),
    }
