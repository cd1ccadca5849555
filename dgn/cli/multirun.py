"""Hydra's callback of multiruns: records failed jobs, and compares the others."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import configure_log
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgn.cli.error_messages import explain
from dgn.errors import UserError
from dgn.files import written_aside
from dgn.runs.folders import FAILED, MULTIRUN, numbered
from dgn.runs.programs import command, own_configs_flag

log = logging.getLogger(__name__)

_watching: list[list[Path]] = []


@contextmanager
def watching(failed: list[Path]) -> Iterator[None]:
    """Appends to `failed` the folders of jobs that fail in a multirun within the block.

    A list is needed because Hydra's callbacks cannot return a value, and Hydra turns their exceptions into warnings.
    """
    _watching.append(failed)
    try:
        yield
    finally:
        _watching.remove(failed)


class Multirun(Callback):
    """Hydra's callback of train.yaml and visualize.yaml. The settings of its comparison are config.comparison."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Saves the config of the multirun in its folder, and checks the settings of its comparison before any job."""
        try:
            folder = Path(config.hydra.sweep.dir)
            _check(config)
            with written_aside(folder / MULTIRUN) as aside:
                OmegaConf.save(config, aside)
        except (UserError, HydraException) as error:  # Hydra would turn it into a warning
            message = str(error) if isinstance(error, UserError) else f"comparison: {explain(error, 'compare')}"
            print(f"error: {message}", file=sys.stderr)
            sys.exit(2)
        except OmegaConfBaseException:
            return  # Hydra raises the same error, and reports it
        if config.get("resume") == "auto" and not numbered(folder):
            log.info("resume=auto: there is no multirun of this command to resume; starting a new one")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Compares the multirun's jobs, and prints the page's path last."""
        folder = Path(config.hydra.sweep.dir)
        jobs = numbered(folder)
        for failed in _watching:
            failed += [job for job in jobs if (job / FAILED).is_file()]
        if not jobs or not config.comparison.enabled:
            return
        # Otherwise the comparison would be logged into the last job's file.
        configure_log(config.hydra.hydra_logging)
        try:
            print(_compare(config, jobs, folder / "comparison"))
        except Exception as error:  # Hydra would turn it into a warning
            again = f"after fixing this, run {command('compare', *own_configs_flag(), str(folder))}"
            if isinstance(error, UserError):
                log.error("error: no comparison: %s; %s", error, again)
            else:
                log.exception("error: no comparison; %s", again)
            for failed in _watching:
                failed.append(folder / "comparison")


def _compare(config: DictConfig, jobs: list[Path], folder: Path) -> Path:
    # Imported here so that `--help` does not wait for torch.
    from dgn.cli.compare import compare
    from dgn.cli.config import plain
    from dgn.cli.roles import named_code
    from dgn.cli.run_names import read_settings

    settings = _settings(config)
    settings.runs = [os.fspath(job) for job in jobs]
    # What the multirun's own command named and ran may be run again.
    settings.generator.model = sorted({name for job in jobs for name in named_code(read_settings(job).config)})
    for logger in settings.logger.values():
        wandb = config.logger.wandb
        logger.folder = os.fspath(folder)
        logger.job_type, logger.group, logger.name = (
            "comparison",
            folder.parent.name,
            f"{folder.parent.name}/comparison",
        )
        logger.project, logger.entity, logger.mode = wandb.project, wandb.entity, wandb.mode
    return compare(plain(settings), folder)


def _settings(config: DictConfig) -> DictConfig:
    """Returns the config of compare.py with the settings of config.comparison."""
    from dgn.cli.config import compose, plain

    comparison = plain(config.comparison, resolve=False)
    values = {k: v for k, v in comparison.items() if k != "enabled" and v is not None}
    choices = [f"{key}={values.pop(key)}" for key in ("judge", "target", "method") if key in values]
    choices += [f"logger={'wandb' if 'wandb' in (config.get('logger') or {}) else 'none'}"]
    settings = compose("compare", choices)
    for key, value in values.items():
        OmegaConf.update(settings, key, value)
    return settings


def _check(config: DictConfig) -> None:
    enabled = config.comparison.enabled
    if not isinstance(enabled, bool):
        raise UserError(f"comparison.enabled={enabled}: give true or false")
    if enabled:
        from dgn.cli.compare import read_comparison
        from dgn.cli.config import plain

        read_comparison(plain(_settings(config)))
