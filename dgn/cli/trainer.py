"""Lightning's Trainer of a run, its loggers, and the signals that end it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning.loggers import Logger

from dgn.cli.run_settings import RunSettings
from dgn.cli.trainer_arguments import (
    make_callbacks,
    merged_plugins,
    shows_progress,
    trainer_arguments,
    writes_checkpoints,
)
from dgn.cli.trainer_devices import placement
from dgn.errors import Interrupted, UserError, first_line
from dgn.runs.loggers import logged
from dgn.runs.programs import command, override, own_configs_flag
from dgn.runs.ranks import interactive, rank
from dgn.training.callbacks import AtomicCheckpointIO, Checkpoints, Interruption, LastValidation, Progress, Throughput
from dgn.training.precision import precision_plugin


@contextmanager
def running(run: RunSettings) -> Iterator[tuple[list[Logger], Interruption]]:
    """Yields the loggers of a run, closed after the block, and the record of signals that ask it to stop."""
    with logged(run.make_loggers, run.config) as loggers, Interruption() as interruption:
        yield loggers, interruption


def make_trainer(
    run: RunSettings,
    loggers: Sequence[Logger],
    interruption: Interruption,
    callbacks: Sequence[pl.Callback] = (),
) -> pl.Trainer:
    """Makes Lightning's Trainer of a run, with our checkpoints, progress and precision.

    Args:
        run: The settings of the run.
        loggers: Loggers of the metrics.
        interruption: The record of signals that ask the run to stop.
        callbacks: Further callbacks of the task.

    Raises:
        UserError: If Lightning refuses the arguments.
    """
    arguments = run.trainer
    precision, measuring = precision_plugin(arguments["precision"], arguments["accelerator"])
    theirs = make_callbacks(arguments)
    progress = bool(arguments["enable_progress_bar"]) and not shows_progress(theirs)
    bar = progress and interactive() and rank() == 0
    given = {key: value for key, value in arguments.items() if key not in ("callbacks", "plugins")}
    try:
        return instantiate(
            given,
            _convert_="all",
            **placement(arguments),
            **trainer_arguments(arguments, run.folder),
            precision=None,  # the plugin's
            enable_progress_bar=bar or shows_progress(theirs),
            check_val_every_n_epoch=None,
            enable_checkpointing=writes_checkpoints(theirs),
            use_distributed_sampler=False,
            default_root_dir=run.folder,
            callbacks=[
                *measuring,
                *callbacks,
                *theirs,
                *_our_callbacks(run, interruption, bar, lines=progress and not bar),
            ],
            logger=list(loggers) or False,
            plugins=merged_plugins(arguments, [AtomicCheckpointIO(), precision]),
        )
    except InstantiationException as error:
        raise UserError(f"Lightning's Trainer refuses its settings: {first_line(error.__cause__ or error)}") from None


def _our_callbacks(run: RunSettings, interruption: Interruption, bar: bool, lines: bool) -> list[pl.Callback]:
    """Returns the callbacks of every run. Progress is shown in a bar, in lines, or not at all."""
    return [
        *([Progress()] if bar else []),
        LastValidation(),  # before Checkpoints, which may end the run
        Throughput(run.trainer["log_every_n_steps"], lines=lines),
        Checkpoints(run.folder, run.checkpoint_every, resuming(run), interruption),
    ]


def resuming(run: RunSettings) -> str:
    """Returns the command that resumes the run."""
    return command("train", *own_configs_flag(), override("resume", run.folder))


def stopping(run: RunSettings, interruption: Interruption, when: str) -> Callable[[], None]:
    """Returns a function that ends the run if it was asked to stop, and says when, and how to resume it."""

    def stop() -> None:
        if interruption.received is not None:
            raise Interrupted(interruption.received, f"stopped {when}; resume with: {resuming(run)}")

    interruption.take()
    return stop
