"""One training job: in this process, or in as many as the trainer's config asks for."""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dgn.config import plain
from dgn.processes import run_in_processes
from dgn.tasks.common import processes_to_start


def run(config: DictConfig, folder: Path) -> Path:
    """Does the config's task; returns the path of what it made."""
    count = processes_to_start(config.trainer)
    if count == 1:
        return instantiate(config.task)(config, folder)
    # The processes get values, as nothing there could resolve Hydra's.
    values = OmegaConf.create(plain(config))
    return Path(run_in_processes(_task, (values, folder), count))


def _task(config: DictConfig, folder: Path) -> Path:
    return instantiate(config.task)(config, folder)
