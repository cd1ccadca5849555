"""task=prior: train a generator to invert a layer, from the config to prior.safetensors."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from dgn.cli.network_report import report_accuracy
from dgn.cli.networks import network
from dgn.cli.prior_training import PriorTraining, compared_layers, read_prior_training, with_layer
from dgn.cli.roles import load_prior, named_code
from dgn.cli.run_settings import open_training_data
from dgn.cli.run_start import start
from dgn.cli.trainer import make_trainer, running, stopping
from dgn.data.cache import code_views
from dgn.data.datamodule import ImageData, samples_of
from dgn.data.display import showing
from dgn.data.size import written
from dgn.files import write_whole
from dgn.networks.generator_base import Generator
from dgn.prior.code_model import CodeModel
from dgn.prior.warm_start import start_from
from dgn.runs.folders import METRICS, PRIOR
from dgn.runs.loggers import log_prior
from dgn.training.building import about_prior, build_inversion
from dgn.training.callbacks import Interruption, Reconstructions
from dgn.training.code_cache import open_code_cache
from dgn.training.code_statistics import CodeMeasures, code_statistics, losses_for_codes, saved_statistics
from dgn.training.fitting import fit, format_metrics
from dgn.training.fixed_networks import FixedNetworks
from dgn.training.inversion import Inversion
from dgn.training.resuming import find_checkpoint

log = logging.getLogger(__name__)

_MEASURES = (
    "val/psnr",
    "val/feature_distance",
    "val/code_error",
    "code_model/frechet",
    "generator_parameters",
    "total_seconds",
)


def fit_prior(config: Mapping[str, Any], folder: Path) -> Path:
    """Trains G to invert config.encoder.layer; returns the prior's path.

    Writes the prior, metrics.json, checkpoints and reconstructions into the folder.
    """
    began = time.perf_counter()
    run = start(config, folder, _MEASURES)
    data = open_training_data(config["data"], run)
    encoder = network(config["encoder"], data)
    comparator = network(config["comparator"], data) if config["comparator"].get("_target_") else None
    training = read_prior_training(with_layer(config, encoder), run)
    # Networks that were fitted on the way have drawn random numbers, those that were there have not.
    pl.seed_everything(run.seed, verbose=False)
    layers = compared_layers(training.comparator_layers, comparator or encoder)
    networks = FixedNetworks(encoder, training.layer, comparator, layers).to(run.device)
    networks.check(training.inversion.weights.feature)
    report_accuracy("encoder", networks.encoder, data, folder)
    if networks.own_comparator is not None:
        report_accuracy("comparator", networks.own_comparator, data, folder)
    with showing(config["show"]["channels"], samples_of(data)):
        return _train(training, data, networks, began)


def _train(training: PriorTraining, data: ImageData, networks: FixedNetworks, began: float) -> Path:
    """Trains G; returns the prior's path. `began` is the time at which the run began."""
    run = training.run
    measures = _measures(training, data, networks)
    codes = measures.codes
    about = about_prior(networks, data, run.max_steps, run.config["data"], run.config, measures.explained)
    about["command"] = run.command
    settings = replace(training.inversion, weights=losses_for_codes(training.inversion.weights, measures))
    architectures = training.architectures
    if training.generator_init is not None and find_checkpoint(run.folder) is None:
        initialize = partial(_initialize, training.generator_init, named_code(run.config))
        architectures = replace(architectures, initialize=initialize)
    module = build_inversion(
        architectures, settings, networks, data.image_shape, codes, measures.scales, about, training.carries_encoder
    )
    views = code_views(run.config["data"].get("cache", "none"))
    if views:
        shifted = training.inversion.comparator_shift > 0
        if shifted:
            log.info("data.cache=codes: only codes are kept, as comparator_shift shifts what C sees")
        module.code_cache = open_code_cache(data, views, networks, () if shifted else module.feature_layers)
    module.keep_codes(training.code_model.codes if training.code_model is not None else 0)
    shown = next(data.real_images(16, "val"))[0]
    with running(run) as (loggers, interruption):
        trainer = make_trainer(run, loggers, interruption, [Reconstructions(run.folder, shown)])
        log.info(
            "Training a prior: inverting %s of %s (code %s) at %s px, %d steps of %d images, %s",
            networks.layer, networks.encoder.name, "x".join(map(str, codes.mean.shape)), written(data.image_size),
            run.max_steps, data.step_size, getattr(trainer.precision_plugin, "words", trainer.precision),
        )  # fmt: skip
        metrics = fit(trainer, module, data, run.folder)
        metrics |= {
            "generator_parameters": sum(p.numel() for p in module.generator.parameters()),
            "total_seconds": round(time.perf_counter() - began, 1),
        }
        module.about["metrics"] = metrics
        module.about["training"]["steps"] = metrics["steps"]  # fewer where max_time or a callback ended it
        if trainer.is_global_zero:
            prior = module.prior()
            prior.code_model = _code_model(training, module, metrics, interruption)
            metrics["total_seconds"] = round(time.perf_counter() - began, 1)
            prior.save(run.folder / PRIOR)
            write_whole(run.folder / METRICS, json.dumps(metrics, indent=2))
            log_prior(loggers, run.folder / PRIOR, module.about)
        trainer.strategy.barrier()  # all processes find what rank 0 has written
    summary = format_metrics(
        metrics, psnr="PSNR %.2f dB", feature_distance="feature distance %.3f", code_error="code error %.3f"
    )
    log.info("%s; %.0f s in total", summary, metrics["total_seconds"])
    return run.folder / PRIOR


def _code_model(
    training: PriorTraining, module: Inversion, metrics: dict[str, Any], interruption: Interruption
) -> CodeModel | None:
    """Fits the code model to the codes that training has seen last, and adds its quality to the metrics."""
    if training.code_model is None or module.codes is None or module.held_out_codes is None:
        return None
    seen, held_out = module.codes.coordinates, module.held_out_codes.coordinates
    log.info("Fitting the code model to the codes of %d images", len(seen))
    stop = stopping(training.run, interruption, "while the code model was fitted")
    model, figures = training.code_model.fit(seen, held_out, training.run.seed, module.device, stop)
    metrics.update(figures)
    return model


def _initialize(init: str, code: Sequence[str], generator: Generator) -> None:
    """Starts G from the weights of the prior `init` that fit, and logs which do. `code`: as of `load_prior`."""
    log.info(start_from(generator, load_prior(init, key="generator.init", code=code)))


def _measures(training: PriorTraining, data: ImageData, networks: FixedNetworks) -> CodeMeasures:
    """Measures the codes and the compared features. A resumed run has measured them when it began."""
    checkpoint = find_checkpoint(training.run.folder)
    saved = None if checkpoint is None else saved_statistics(checkpoint, networks.layer)
    return saved or code_statistics(
        data,
        networks.encoder,
        networks.layer,
        networks.comparator,
        networks.comparator_layers,
        training.statistics_images,
        training.inversion.weights.raw_features,
        training.statistics_split,
        training.statistics_axes,
        training.inversion.weights.asks_explained,
    )
