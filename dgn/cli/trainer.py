"""What both training tasks do: the trainer with its callbacks, the run."""

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from dgn.cli.config import plain
from dgn.cli.step_settings import read_overfit, step_settings
from dgn.cli.trainer_arguments import (
    check_trainer,
    make_callbacks,
    merged_plugins,
    shows_progress,
    trainer_arguments,
    writes_checkpoints,
)
from dgn.data.datamodule import ImageData
from dgn.devices import device_of_accelerator, tell_limits
from dgn.errors import Interrupted, UserError, first_line
from dgn.files import write_whole
from dgn.runs.folders import CHECKPOINT, CONFIG, holds_run, read_command
from dgn.runs.loggers import check as check_loggers
from dgn.runs.loggers import logged
from dgn.runs.programs import command, override, own_configs_flag
from dgn.runs.ranks import interactive, local_rank, processes_per_node, rank, started_by_launcher
from dgn.training.callbacks import AtomicCheckpointIO, Checkpoints, Interruption, LastValidation, Progress, Throughput
from dgn.training.inversion import NonFiniteLoss
from dgn.training.precision import OwnLayers, resolve_precision
from dgn.training.quiet import quieten_lightning
from dgn.training.resuming import check_checkpoint, check_same_networks, find_checkpoint

log = logging.getLogger(__name__)


def start(config: DictConfig, folder: Path, measures: Sequence[str]) -> str:
    """Checks the settings of a run, writes its resolved config into its folder, and silences Lightning's messages.

    The saved config marks the folder as that of a run. Only rank 0 writes it, maybe later than other ranks return.

    Args:
        config: The config of the run.
        folder: The folder of the run.
        measures: The names of the metrics of the task.

    Returns:
        The command that makes the run; an empty string in processes of other ranks than 0.

    Raises:
        UserError: If config.metric is not one of the metrics, or settings or the checkpoint are invalid.
    """
    if config.metric not in (known := (*measures, "steps", "fit_seconds")):
        raise UserError(f"metric={config.metric}: this task measures {', '.join(known)}; choose one of these")
    check_loggers(config.logger)
    check_trainer(config, [name for name in measures if name.startswith("val/")])
    step_settings(config)
    read_overfit(config)
    tell_limits(device(config.trainer))
    _check_validation(config)
    check_checkpoint(folder)
    quieten_lightning()
    torch.set_flush_denormal(True)  # CPUs are slow with denormal numbers; none of ours matters
    torch.set_float32_matmul_precision("high")
    if rank() != 0:
        return ""
    kept = folder / ".hydra" / "overrides.yaml"
    given = yaml.safe_load(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    resumed = any(word.startswith("resume=") for word in given)
    given = [word for word in given if not word.startswith("resume=")]  # not a setting of the run
    given = [*own_configs_flag(), *given]
    words = [*shlex.split(command("train")), *given]
    if (folder / CONFIG).is_file() and (resumed or holds_run(folder)):
        # A resumed run keeps its command, except for settings that are given again, such as more steps.
        replaced = {word.split("=")[0] for word in given}
        words = [word for word in shlex.split(read_command(folder)) if word.split("=")[0] not in replaced] + given
    line = shlex.join(words)
    write_whole(folder / CONFIG, f"# {line}\n" + yaml.safe_dump(plain(config), sort_keys=False))
    return line


def device(trainer: DictConfig) -> torch.device:
    """Returns the device of this process, the same that the Trainer uses.

    With a list in trainer.devices, it is the GPU of that list for the local rank.

    Raises:
        UserError: If this machine has no such device.
    """
    device = device_of_accelerator(trainer.accelerator)
    if device.type != "cuda":
        return device
    if OmegaConf.is_list(trainer.devices):
        return torch.device("cuda", trainer.devices[local_rank() % len(trainer.devices)])
    return torch.device("cuda", local_rank() % torch.cuda.device_count())


@contextmanager
def running(config: DictConfig, folder: Path) -> Iterator[tuple[list[Logger], Interruption]]:
    """Yields the loggers of a job, closed after the block, and the record of signals that ask it to stop."""
    makers = [instantiate(maker, _partial_=True) for maker in config.logger.values()]
    with logged(makers, plain(config)) as loggers, Interruption() as interruption:
        yield loggers, interruption


def make_trainer(
    config: DictConfig,
    folder: Path,
    loggers: Sequence[Logger],
    interruption: Interruption,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """Lightning's Trainer of the config, with our checkpoints, progress and precision."""
    precision = resolve_precision(config.trainer.precision, config.trainer.accelerator)
    theirs = make_callbacks(config.trainer)
    bar = bool(config.trainer.enable_progress_bar) and interactive() and rank() == 0 and not shows_progress(theirs)
    lines = bool(config.trainer.enable_progress_bar) and not bar and not shows_progress(theirs)
    again = resuming(folder)
    ours: list[pl.Callback] = [
        Checkpoints(folder, config.checkpoint.every_n_steps, again, interruption),
        Throughput(config.trainer.log_every_n_steps, lines=lines),
        LastValidation(),
    ]
    if bar:
        ours.append(Progress())
    plugins = merged_plugins(config.trainer, [AtomicCheckpointIO(), OwnLayers(precision)])
    settings = OmegaConf.masked_copy(config.trainer, [k for k in config.trainer if k not in ("callbacks", "plugins")])
    try:
        return instantiate(
            settings,
            _convert_="all",
            **_placement(config.trainer),
            **trainer_arguments(config.trainer, folder),
            precision=None,  # the plugin's
            enable_progress_bar=bar or shows_progress(theirs),
            check_val_every_n_epoch=None,
            enable_checkpointing=writes_checkpoints(theirs),
            use_distributed_sampler=False,
            default_root_dir=folder,
            # LastValidation's comes before Checkpoints', which may end the run.
            callbacks=[*callbacks, *theirs, *reversed(ours)],
            logger=list(loggers) or False,
            plugins=plugins,
        )
    except InstantiationException as error:
        raise UserError(f"Lightning's Trainer refuses its settings: {first_line(error.__cause__ or error)}") from None


def resuming(folder: Path) -> str:
    """Returns the command that resumes the run of a folder."""
    return command("train", *own_configs_flag(), override("resume", folder))


def stopping(folder: Path, interruption: Interruption, when: str) -> Callable[[], None]:
    """Returns a function that ends the run if it was asked to stop, and says when and how to resume it."""

    def stop() -> None:
        if interruption.received is not None:
            raise Interrupted(interruption.received, f"stopped {when}; resume with: {resuming(folder)}")

    interruption.take()
    return stop


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: ImageData, folder: Path) -> dict[str, Any]:
    """Fits from the run's last checkpoint, if there is one; returns the metrics.

    Validates at the end, unless trainer.limit_val_batches is 0.

    Raises UserError for a checkpoint that is damaged or of other networks, for what Lightning refuses as it begins, and
    where a loss is not finite, naming the step, the terms and the last good checkpoint.
    """
    path = folder / CHECKPOINT
    checkpoint = find_checkpoint(folder)
    if checkpoint is not None:
        check_same_networks(checkpoint, module)
    began = time.perf_counter()
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except NonFiniteLoss as error:
        kept = f"the last good checkpoint is {path}" if path.exists() else "no checkpoint was written yet"
        raise UserError(
            f"a loss is not finite at {error}; {kept}. Lower optimizer.lr or the loss weights and start again"
        ) from None
    except MisconfigurationException as error:
        raise UserError(f"Lightning's Trainer refuses its settings: {first_line(error)}") from None
    except RuntimeError as error:
        if not torch.are_deterministic_algorithms_enabled() or "deterministic" not in str(error):
            raise
        raise UserError(f"trainer.deterministic=true: {first_line(error)}; give trainer.deterministic=warn") from None
    seconds, steps = time.perf_counter() - began, trainer.global_step
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (Lightning does not declare it)
    last = next(callback for callback in callbacks if isinstance(callback, LastValidation))
    if last.step != steps:
        trainer.validate(module, data, verbose=False, weights_only=True)
    return {**last.found, "steps": steps, "fit_seconds": round(seconds, 1)}


def format_metrics(metrics: Mapping[str, float], **formats: str) -> str:
    """The text of a run's last line about the metrics that it has.

    formats: {a metric of validation, without val/: its format string}.
    """
    parts = [form % metrics[f"val/{name}"] for name, form in formats.items() if f"val/{name}" in metrics]
    return ", ".join(parts) or "not validated (trainer.limit_val_batches=0)"


def schedule(config: DictConfig) -> Any:
    """The maker of the config's schedule. A task's schedule leaves keys of another's behind as null."""
    return instantiate({key: value for key, value in config.schedule.items() if value is not None})


def processes_to_start(trainer: DictConfig) -> int:
    """How many processes this one has to start for a trainer's config; 1: it trains itself.

    Raises UserError where the devices are not there, or another machine's processes would have to be started.
    """
    if started_by_launcher():
        return 1
    cpu, there = trainer.accelerator == "cpu", torch.cuda.device_count()
    together = trainer.get("strategy") not in (None, "auto")
    if together and not cpu and there == 0:
        raise UserError("trainer=ddp needs CUDA GPUs, and there is none here; give trainer=ddp_cpu, or trainer=auto")
    count = _devices(trainer.devices, cpu or there == 0, there)
    if count > 1 and not together:  # Lightning would start the command line again, a multirun's too
        raise UserError(
            f"trainer.devices={trainer.devices}: several train together with trainer=ddp, or trainer=ddp_cpu"
        )
    nodes = trainer.get("num_nodes", 1)
    if nodes != 1:
        raise UserError(
            f"trainer.num_nodes={nodes}: processes on several machines are started by srun or torchrun "
            "(docs/clusters.md)"
        )
    return count if together else 1


def _check_validation(config: DictConfig) -> None:
    """A sweeper cannot optimize what is not measured."""
    if config.trainer.get("limit_val_batches") not in (0, 0.0) or not config.metric.startswith("val/"):
        return
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        sweeper = HydraConfig.get().sweeper.get("_target_", "")
        if not sweeper.endswith("BasicSweeper"):
            raise UserError(
                f"metric={config.metric} is measured by validation, which trainer.limit_val_batches=0 leaves out; "
                "give metric=fit_seconds, or some batches"
            )


def _devices(devices: Any, cpu: bool, there: int) -> int:
    """How many trainer.devices means."""
    what = "processes" if cpu else "GPUs"
    if OmegaConf.is_list(devices):
        count = _distinct_gpus(devices, 0 if cpu else there)
    elif devices in ("auto", -1, "-1"):
        count = 1 if cpu else there
    else:
        count = int(devices) if str(devices).isdigit() else 0
    if count < 1 or (not cpu and count > there):
        known = "" if cpu else f" (there are {there} here), or auto for all of them"
        raise UserError(f"trainer.devices={devices}: give a number of {what}{known}")
    return count


def _distinct_gpus(numbers: Sequence[int], there: int) -> int:
    """How many GPUs a list of their numbers names. Raises UserError where one is not there or named twice."""
    known = f"there are 0 .. {there - 1} here" if there else "there are none here: on a CPU give a number of processes"
    if not numbers or len(set(numbers)) < len(numbers) or not all(n in range(there) for n in numbers):
        raise UserError(f"trainer.devices={list(numbers)}: a list names each GPU once by its number, and {known}")
    return len(numbers)


def _placement(trainer: DictConfig) -> dict[str, Any]:
    """The arguments of Lightning's Trainer for where it runs, beyond the config.

    With a launcher, they are what the launcher has started. A list of GPUs is kept: process i of this machine computes
    on the list's i-th.
    """
    gpus = list(trainer.devices) if OmegaConf.is_list(trainer.devices) and trainer.accelerator != "cpu" else None
    if trainer.get("strategy") in (None, "auto"):
        return {"devices": gpus} if gpus else {}
    if not started_by_launcher():
        return {"strategy": "auto", "devices": gpus or 1}  # one process is all there is
    local, nodes = processes_per_node()
    if gpus is not None and len(gpus) != local:
        raise UserError(f"trainer.devices={gpus}: the launcher started {local} processes here; name as many GPUs")
    return {"devices": gpus or local, "num_nodes": nodes}
