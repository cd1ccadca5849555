"""The start of a training run: its checks, and the config that marks its folder."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dgn.cli.config import plain
from dgn.cli.run_settings import RunSettings, read_run
from dgn.cli.trainer_arguments import check_trainer
from dgn.devices import tell_limits
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.runs.folders import CONFIG, holds_run, read_command
from dgn.runs.loggers import check as check_loggers
from dgn.runs.programs import command, own_configs_flag
from dgn.runs.ranks import rank
from dgn.training.quiet import quieten_lightning
from dgn.training.resuming import check_checkpoint


def start(config: DictConfig, folder: Path, measures: Sequence[str]) -> RunSettings:
    """Reads and checks the settings of a run, writes its config into its folder, and silences Lightning's messages.

    The saved config marks the folder as that of a run. Only rank 0 writes it, maybe later than other ranks return.

    Args:
        config: The config of the run.
        folder: The folder of the run.
        measures: The names of the metrics of the task.

    Raises:
        UserError: If config.metric is not one of the metrics, or settings or the checkpoint are invalid.
    """
    known = (*measures, "steps", "fit_seconds")
    if config.metric not in known:
        raise UserError(f"metric={config.metric}: this task measures {', '.join(known)}; choose one of these")
    check_loggers(config.logger)
    check_trainer(plain(config), [name for name in measures if name.startswith("val/")])
    run = read_run(config, folder)
    tell_limits(run.device)
    _check_validation(config.metric, run.trainer)
    check_checkpoint(folder)
    quieten_lightning()
    torch.set_flush_denormal(True)  # CPUs are slow with denormal numbers; none of ours matters
    torch.set_float32_matmul_precision("high")
    if rank() != 0:
        return run
    run = replace(run, command=_command(folder))
    write_whole(folder / CONFIG, f"# {run.command}\n" + yaml.safe_dump(run.config, sort_keys=False))
    return run


def _command(folder: Path) -> str:
    """Returns the command that makes the run of a folder.

    A resumed run keeps its command, except for settings that are given again, such as more steps.
    """
    overrides = folder / ".hydra" / "overrides.yaml"
    given: list[str] = yaml.safe_load(overrides.read_text(encoding="utf-8")) if overrides.is_file() else []
    resumed = any(word.startswith("resume=") for word in given)
    given = [word for word in given if not word.startswith("resume=")]  # not a setting of the run
    given = [*own_configs_flag(), *given]
    words = [*shlex.split(command("train")), *given]
    if (folder / CONFIG).is_file() and (resumed or holds_run(folder)):
        replaced = {word.split("=")[0] for word in given}
        words = [word for word in shlex.split(read_command(folder)) if word.split("=")[0] not in replaced] + given
    return shlex.join(words)


def _check_validation(metric: str, trainer: Mapping[str, Any]) -> None:
    """A sweeper cannot optimize what is not measured."""
    if trainer.get("limit_val_batches") not in (0, 0.0) or not metric.startswith("val/"):
        return
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        sweeper = HydraConfig.get().sweeper.get("_target_", "")
        if not sweeper.endswith("BasicSweeper"):
            raise UserError(
                f"metric={metric} is measured by validation, which trainer.limit_val_batches=0 leaves out; "
                "give metric=fit_seconds, or some batches"
            )
