"""The start of a training run: its checks, and the config that marks its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from dgn.cli.run_command import training_command
from dgn.cli.run_settings import RunSettings, read_run
from dgn.cli.trainer_arguments import check_trainer
from dgn.devices import tell_limits
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.runs.folders import CONFIG
from dgn.runs.loggers import check as check_loggers
from dgn.runs.ranks import rank
from dgn.training.quiet import quieten_lightning
from dgn.training.resuming import check_checkpoint


def start(config: Mapping[str, Any], folder: Path, measures: Sequence[str]) -> RunSettings:
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
    metric = config["metric"]
    if metric not in known:
        raise UserError(f"metric={metric}: this task measures {', '.join(known)}; choose one of these")
    check_loggers(config["logger"])
    check_trainer(config, [name for name in measures if name.startswith("val/")])
    run = read_run(config, folder)
    tell_limits(run.device)
    _check_validation(metric, run.trainer)
    check_checkpoint(folder)
    quieten_lightning()
    torch.set_flush_denormal(True)  # CPUs are slow with denormal numbers; none of ours matters
    torch.set_float32_matmul_precision("high")
    if rank() != 0:
        return run
    run = replace(run, command=training_command(folder))
    write_whole(folder / CONFIG, f"# {run.command}\n" + yaml.safe_dump(dict(run.config), sort_keys=False))
    return run


def _check_validation(metric: str, trainer: Mapping[str, Any]) -> None:
    """A sweeper cannot optimize what is not measured."""
    if trainer.get("limit_val_batches") not in (0, 0.0) or not metric.startswith("val/"):
        return
    multirun = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if multirun and "direction" in HydraConfig.get().sweeper:  # a grid and random search optimize nothing
        raise UserError(
            f"metric={metric} is measured by validation, which trainer.limit_val_batches=0 leaves out; "
            "give metric=fit_seconds, or some batches"
        )
