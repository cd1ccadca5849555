"""What everything around the step costs: `python benchmarks/overhead.py [STEPS] [--logger csv,wandb]`.

One process times, in turns, the default training under the Trainer (logging, progress, callbacks, checkpoints) and the
same steps of the same module in a bare loop: forward, backward, optimizer, schedule, nothing else. Reported is the
ratio of the wall times, the median over the turns. At most 1.03 is promised.
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

from dgn.config import compose
from dgn.tasks import common, prior
from dgn.training.inversion import Inversion

LIMIT = 1.03


def modules(steps: int, loggers: str, folder: Path) -> tuple:
    """The default config's data and module, as the task makes them, without the training."""
    config = compose("train", [f"trainer.max_steps={steps}", "logger=none", f"trainer.val_check_interval={steps}"])
    for name in filter(None, loggers.split(",")):
        with open_dict(config.logger):
            config.logger[name] = compose("train", [f"logger={name}"]).logger[name]
        config.logger[name].folder = str(folder)
        if name == "wandb":
            config.logger[name].mode, config.logger[name].job_type = "offline", "benchmark"
    kept = {}

    def keep(trainer: pl.Trainer, module: Inversion, data: object, where: Path) -> dict:
        kept.update(module=module, data=data)
        raise InterruptedError

    fits, logs = mock.patch.object(common, "fit", keep), mock.patch.object(common, "logged", _nowhere)
    with contextlib.suppress(InterruptedError), fits, logs:
        prior.fit_prior(config, folder)
    return config, kept["module"], kept["data"]


def _nowhere(*_: object) -> object:
    return contextlib.nullcontext([])


def trained(config: object, module: Inversion, data: object, folder: Path) -> float:
    """Seconds of the steps under the Trainer, validation left out."""
    with common.running(config, folder) as (loggers, interruption):
        trainer = common.make_trainer(config, folder, loggers, interruption, [Clock()])
        trainer.limit_val_batches = 0
        trainer.fit(module, data)
        return next(c for c in trainer.callbacks if isinstance(c, Clock)).seconds


class Clock(pl.Callback):
    def on_train_start(self, *_: object) -> None:
        self.began = time.perf_counter()

    def on_train_end(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began


def bare(config: object, module: Inversion, data: object) -> float:
    """Seconds of the same steps in a loop of their own."""
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]
    steps, device = config.trainer.max_steps, common.device(config.trainer)
    data.trainer = mock.Mock(world_size=1, global_rank=0, global_step=0, max_steps=steps)
    module.to(device).train()
    step = mock.PropertyMock(side_effect=lambda: counted[0])
    counted = [0]
    with (
        mock.patch.object(module, "optimizers", return_value=optimizer),
        mock.patch.object(module, "lr_schedulers", return_value=schedule),
        mock.patch.object(module, "log"),
        mock.patch.object(Inversion, "global_step", step),
    ):
        began = time.perf_counter()
        for i, batch in enumerate(data.train_dataloader()):
            counted[0] = i
            images, labels = data.on_after_batch_transfer([part.to(device) for part in batch], 0)
            module.training_step((images, labels), i)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=150)
    parser.add_argument("--logger", default="csv,wandb", help="which loggers to run with")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.turns):
            where = Path(folder) / str(turn)
            where.mkdir()
            config, module, data = modules(given.steps, given.logger, where)
            bare(config, module, data) if turn == 0 else None  # warms up caches and the allocator
            order = [lambda: bare(config, module, data), lambda: trained(config, module, data, where)]  # noqa: B023
            seconds = [run() for run in (order if turn % 2 else order[::-1])]
            one, other = seconds if turn % 2 else seconds[::-1]
            ratios.append(other / one)
            print(f"  bare {one:.2f} s, under the Trainer {other:.2f} s, ratio {other / one:.3f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"overhead: {ratio:.3f} of the bare loop's time with {given.logger or 'no logger'}; at most {LIMIT}")
    sys.exit(int(ratio > LIMIT))


if __name__ == "__main__":
    main()
