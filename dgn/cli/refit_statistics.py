"""task=statistics: measure the codes of an existing prior again, and fit their principal axes."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from dgn.cli.run_start import start
from dgn.cli.train_code_prior import prior_and_images
from dgn.files import write_whole
from dgn.prior.statistics import measure
from dgn.runs.folders import METRICS, PRIOR
from dgn.runs.progress import announced

log = logging.getLogger(__name__)

_MEASURES = ("explained", "total_seconds")


def refit_statistics(config: Mapping[str, Any], folder: Path) -> Path:
    """Measures the statistics of config.prior's codes; returns the path of the new prior file.

    The images are those that the prior was trained on, or those of `data=`. Writes prior.safetensors, which differs
    from config.prior in its statistics alone (and names the images, if it named none), and metrics.json.
    """
    began = time.perf_counter()
    run = start(config, folder, _MEASURES)
    prior, data = prior_and_images(config, run.device)
    pl.seed_everything(run.seed, verbose=False)
    settings = config["statistics"]
    images, split = settings["images"], settings["split"]
    log.info("Measuring the codes of %d images at %s (%s)", images, prior.layer, prior.source)
    read = announced(
        data.real_images(images, split),
        images,
        "Computing the codes of real images, for their statistics",
        "fewer with statistics.images=N",
        64,
    )
    batches = (batch.to(prior.device) for batch, _ in read)
    statistics = measure(prior.encoder_net(), [prior.layer], batches, {prior.layer: settings["axes"]})[prior.layer]
    about = prior.about
    if not about.get("data"):
        about = {**about, "data": {**config["data"], "classes": list(data.classes)}}
    prior = replace(prior, statistics=statistics, about=about)
    explained = prior.principal.explained if prior.principal is not None else 0.0
    metrics = {"explained": explained, "total_seconds": round(time.perf_counter() - began, 1)}
    prior.save(folder / PRIOR)
    write_whole(folder / METRICS, json.dumps(metrics, indent=2))
    count = 0 if statistics.axes is None else len(statistics.axes)
    log.info("%d principal axes explain %.1f%% of the codes' variance", count, 100 * explained)
    return folder / PRIOR
