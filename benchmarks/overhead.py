"""Measures the overhead around the training step: `python benchmarks/overhead.py [TURNS] [--logger csv,wandb]`.

One process times the default training under the Trainer (logging, progress, callbacks, checkpoints) and the same steps
in a bare loop: forward, backward, optimizer and schedule only. The two alternate within one training, a few seconds
each, so that other work on the machine affects both. Prints the ratio of their wall times over all turns, with its
standard error. A turn has as many steps as there are between two checkpoints. Single turns differ by several hundredths
on a busy machine. The limit is 1.03; above it the exit status is 1.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import pytorch_lightning as pl
import torch
from omegaconf import open_dict

from dgn.cli import train_prior as prior
from dgn.cli import trainer as common
from dgn.cli.config import compose, plain
from dgn.cli.run_settings import read_run
from dgn.cli.trainer_devices import device
from dgn.training import inversion
from dgn.training.inversion import Inversion
from dgn.training.trainer_data import TrainerData

LIMIT = 1.03
PART = 25  # consecutive steps of each before they alternate


def modules(steps: int, loggers: str, folder: Path) -> tuple:
    """Returns the config, module and data of the default task, without training."""
    length = [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}"]
    # The bare loop computes in float32, which trainer.precision=auto might not choose.
    config = compose("train", [*length, "trainer.precision=32-true", "logger=none"])
    for name in filter(None, loggers.split(",")):
        with open_dict(config.logger):
            config.logger[name] = compose("train", [f"logger={name}"]).logger[name]
        config.logger[name].folder = str(folder)
        if name == "wandb":
            config.logger[name].mode, config.logger[name].job_type = "offline", "benchmark"
    kept, fit = {}, prior.fit

    def keep(trainer: pl.Trainer, module: pl.LightningModule, data: object, where: Path) -> dict:
        if not isinstance(module, Inversion):
            return fit(trainer, module, data, where)  # the embedded encoder, if it is not cached yet
        kept.update(module=module, data=data)
        raise InterruptedError

    fits, logs = mock.patch.object(prior, "fit", keep), mock.patch.object(common, "logged", _nowhere)
    with contextlib.suppress(InterruptedError), fits, logs:
        prior.fit_prior(plain(config), folder)
    return config, kept["module"], kept["data"]


def _nowhere(*_: object) -> object:
    return contextlib.nullcontext([])


class Bare:
    """The same steps in a bare loop, with a separate module."""

    def __init__(self, config: object, module: Inversion, data: object) -> None:
        made = module.configure_optimizers()
        self.optimizer, self.schedule = made["optimizer"], made["lr_scheduler"]
        self.module, self.data, self.done = module, data, 0
        self.device = device(plain(config.trainer))
        module.to(self.device).train()
        self.batches = iter(data.training_batches(0, config.trainer.max_steps))

    def seconds(self, steps: int) -> float:
        """Runs `steps` more steps and returns the seconds they took."""
        module, counted = self.module, mock.PropertyMock(side_effect=lambda: self.done)
        with (
            mock.patch.object(module, "optimizers", return_value=self.optimizer),
            mock.patch.object(module, "lr_schedulers", return_value=self.schedule),
            mock.patch.object(inversion, "log_step"),
            mock.patch.object(Inversion, "global_step", counted),
        ):
            began = time.perf_counter()
            for _ in range(steps):
                batch = [part.to(self.device) for part in next(self.batches)]
                module.training_step(self.data.prepared(batch), self.done)
                self.done += 1
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - began


class TakingTurns(pl.Callback):
    """Stops the Trainer's clock after every part and runs the same number of steps in the bare loop."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.trainer_seconds: list[float] = []
        self.bare_seconds: list[float] = []

    def on_train_start(self, *_: object) -> None:
        self.since = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step % PART == 0:
            self.trainer_seconds.append(time.perf_counter() - self.since)
            self.bare_seconds.append(self.bare.seconds(PART))
            self.since = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=10)
    parser.add_argument("--logger", default="csv,wandb", help="which loggers to run with")
    options = parser.parse_args()
    every = compose("train", []).checkpoint.every_n_steps
    with tempfile.TemporaryDirectory() as folder:
        steps = every * (options.turns + 1)
        config, module, data = modules(steps, options.logger, Path(folder))
        turns = TakingTurns(Bare(*modules(steps, "", Path(folder) / "bare")))
        run = read_run(plain(config), Path(folder))
        with common.running(run) as (loggers, interruption):
            trainer = common.make_trainer(run, loggers, interruption)
            trainer.callbacks.append(turns)  # after the callbacks that it times
            trainer.limit_val_batches = 0
            trainer.fit(module, TrainerData(data))
    ratios, parts, all_under, all_bare = [], every // PART, 0.0, 0.0
    for turn in range(1, options.turns + 1):  # the first warms up caches and the allocator
        part = slice(turn * parts, (turn + 1) * parts)
        under, bare = sum(turns.trainer_seconds[part]), sum(turns.bare_seconds[part])
        ratios.append(under / bare)
        all_under, all_bare = all_under + under, all_bare + bare
        print(
            f"  {every} steps: bare {bare:.2f} s, under the Trainer {under:.2f} s, ratio {ratios[-1]:.3f}", flush=True
        )
    ratio = all_under / all_bare
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    loggers = options.logger or "no logger"
    print(f"overhead: {ratio:.3f} +- {error:.3f} of the bare loop's time with {loggers}; at most {LIMIT}")
    sys.exit(int(ratio > LIMIT))


if __name__ == "__main__":
    main()
