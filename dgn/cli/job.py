"""One training job: in this process, or in as many as the trainer's config asks for."""

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dgn.cli.config import plain
from dgn.cli.trainer_devices import processes_to_start
from dgn.runs.folders import CONFIG, holds_run
from dgn.runs.processes import run_in_processes
from dgn.runs.ranks import processes_per_node, started_by_launcher
from dgn.runs.threads import use_threads

log = logging.getLogger(__name__)

_PRELOADED = ("dgn.cli.train_prior", "dgn.cli.train_encoder")
"""Modules that several processes of a run import once."""


def run(config: DictConfig, folder: Path) -> Path:
    """Runs the task of the config; returns the path of the file that it made."""
    count = processes_to_start(plain(config.trainer))
    local = processes_per_node()[0] if started_by_launcher() else 1
    config.threads = use_threads(config.threads, _recorded_threads(folder), local)
    log.info("Computing with %d thread%s", config.threads, "s" * (config.threads > 1))
    if count == 1:
        return instantiate(config.task)(config, folder)
    # The processes get values, as nothing there could resolve Hydra's.
    values = OmegaConf.create(plain(config))
    return Path(run_in_processes(_task, (values, folder, count), count, preload=_PRELOADED))


def _task(config: DictConfig, folder: Path, count: int) -> Path:
    use_threads(config.threads, share=count)
    return instantiate(config.task)(config, folder)


def _recorded_threads(folder: Path) -> int | None:
    """Returns the number of threads that a resumed run started with, or None if unknown."""
    if not holds_run(folder):
        return None
    threads = OmegaConf.select(OmegaConf.load(folder / CONFIG), "threads")
    return threads if isinstance(threads, int) else None
