"""One training job: in this process, or in as many as the trainer's config asks for."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from dgn.cli.renamed import read_saved
from dgn.cli.trainer_devices import processes_to_start
from dgn.runs.folders import CONFIG, holds_run
from dgn.runs.memory import give_back, ran_out
from dgn.runs.processes import run_in_processes
from dgn.runs.ranks import processes_per_node, started_by_launcher
from dgn.runs.threads import use_threads

log = logging.getLogger(__name__)

_PRELOADED = ("dgn.cli.train_prior", "dgn.cli.train_encoder")
"""Modules that several processes of a run import once."""


def run(config: Mapping[str, Any], folder: Path) -> Path:
    """Runs the task of the config; returns the path of the file that it made."""
    count = processes_to_start(config["trainer"])
    local = processes_per_node()[0] if started_by_launcher() else 1
    threads = use_threads(config["threads"], _recorded_threads(folder), local)
    config = {**config, "threads": threads}
    log.info("Computing with %d thread%s", threads, "s" * (threads > 1))
    if count == 1:
        return _task_in_memory(config, folder)
    return Path(run_in_processes(_shared_task, (config, folder, count), count, preload=_PRELOADED))


def _task_in_memory(config: Mapping[str, Any], folder: Path) -> Path:
    """Runs the task; if memory runs out, once more with batches of half the size, two of which make a step."""
    try:
        return _task(config, folder)
    except (RuntimeError, MemoryError) as error:
        smaller = _half_batches(config)
        if smaller is None or not ran_out(error):
            raise
    give_back()
    size, parts = smaller["data"]["batch_size"], smaller["accumulate"]
    log.warning(
        "Memory ran out with batches of %d images: going on with data.batch_size=%d accumulate=%d, whose steps are of "
        "as many images (batch normalization sees %d at once)",
        2 * size, size, parts, size,
    )  # fmt: skip
    return _task(smaller, folder)


def _half_batches(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the config with batches of half the size and twice as many to a step; None if a batch has no halves."""
    size = config["data"].get("batch_size")
    if not isinstance(size, int) or size % 2 or config["discriminator"].get("update") == "before":
        return None
    data = {**config["data"], "batch_size": size // 2}
    return {**config, "data": data, "accumulate": 2 * config["accumulate"]}


def _task(config: Mapping[str, Any], folder: Path) -> Path:
    path: Path = instantiate(config["task"])(config, folder)
    return path


def _shared_task(config: Mapping[str, Any], folder: Path, count: int) -> Path:
    """Runs the task as one of `count` processes of this machine."""
    use_threads(config["threads"], share=count)
    return _task(config, folder)


def _recorded_threads(folder: Path) -> int | None:
    """Returns the number of threads that a resumed run started with, or None if unknown."""
    threads = read_saved(folder / CONFIG).get("threads") if holds_run(folder) else None
    return threads if isinstance(threads, int) else None
