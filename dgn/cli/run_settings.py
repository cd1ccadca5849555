"""What the runs of all training tasks are asked to do, as plain values read from the config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from pytorch_lightning.loggers import Logger

from dgn.cli.trainer_devices import device
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.training.settings import Learning, Schedule


@dataclass(frozen=True)
class RunSettings:
    """How a run trains, and where it writes, whatever its task is.

    Attributes:
        folder: the folder of the run.
        config: the resolved config of the run, as it is logged and saved in the files that the run makes.
        device: the device of this process.
        learning: how weights are learned. Its `accumulate` is also the number of batches of a step.
        overfit: the number of training images to train on; None: all.
        make_loggers: functions without arguments that return a logger, or None.
        trainer: arguments of Lightning's Trainer, as in the config.
        checkpoint_every: steps between checkpoints; 0: only at the end.
        command: the command that makes the run; "" until it has started, and in processes of other ranks than 0.
    """

    folder: Path
    config: Mapping[str, Any]
    device: torch.device
    learning: Learning
    overfit: int | None
    make_loggers: Sequence[Callable[[], Logger | None]]
    trainer: Mapping[str, Any]
    checkpoint_every: int
    command: str = ""

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.learning.seed

    @property
    def max_steps(self) -> int:
        """The number of steps of the run."""
        steps: int = self.trainer["max_steps"]
        return steps


def read_run(config: Mapping[str, Any], folder: Path) -> RunSettings:
    """Reads the settings that all tasks have. `folder` is that of the run.

    Raises:
        UserError: For an invalid number of batches or images, or norm of gradients, and if there is no such device.
    """
    accumulate, gradient_clip = read_step(config)
    learning = Learning(
        make_optimizer=instantiate(config["optimizer"], _partial_=True),
        make_schedule=read_schedule(config),
        seed=config["seed"],
        accumulate=accumulate,
        gradient_clip=gradient_clip,
    )
    overfit = read_overfit(config)
    return RunSettings(
        folder=folder,
        config=config,
        device=device(config["trainer"]),
        learning=learning,
        overfit=overfit,
        make_loggers=[instantiate(logger, _partial_=True) for logger in config["logger"].values()],
        trainer=config["trainer"],
        checkpoint_every=config["checkpoint"]["every_n_steps"],
    )


def read_step(values: Mapping[str, Any]) -> tuple[int, float | None]:
    """Reads `accumulate` and `gradient_clip`, which configs saved by earlier versions do not have.

    Raises:
        UserError: If one is invalid.
    """
    accumulate, clip = values.get("accumulate", 1), values.get("gradient_clip")
    if not isinstance(accumulate, int) or isinstance(accumulate, bool) or accumulate < 1:
        raise UserError(f"accumulate={accumulate}: give a number of batches, at least 1")
    is_number = isinstance(clip, int | float) and not isinstance(clip, bool)
    if clip is not None and not (is_number and clip > 0):
        raise UserError(f"gradient_clip={clip}: give the largest norm, a number above 0, or null for none")
    return accumulate, clip


def read_overfit(values: Mapping[str, Any]) -> int | None:
    """Reads the number of images to overfit; None: train on all. Raises UserError if it is not a positive number."""
    count = values.get("overfit")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise UserError(f"overfit={count}: give a number of training images, at least 1, or null for all")
    return count


def read_schedule(values: Mapping[str, Any]) -> Schedule:
    """Reads the learning-rate schedule: optimizer -> schedule."""
    # A task's schedule leaves keys of another's behind as null.
    schedule: Schedule = instantiate({key: value for key, value in values["schedule"].items() if value is not None})
    return schedule


def open_training_data(settings: Mapping[str, Any], run: RunSettings) -> ImageData:
    """Opens the images of a `data` group, in the batches of the run."""
    data: ImageData = instantiate(settings)
    data.accumulate, data.overfit = run.learning.accumulate, run.overfit
    return data
