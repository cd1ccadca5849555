"""Callbacks of training: checkpoints and interruptions, progress, reconstructions."""

import datetime
import math
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from dgn.data.images import reconstruction_grid, save_png
from dgn.errors import Interrupted
from dgn.files import kept_as, written_aside
from dgn.runs.folders import CHECKPOINT, PREVIOUS
from dgn.runs.loggers import log_pictures
from dgn.runs.progress import Phase
from dgn.runs.signals import send
from dgn.training.distributed import any_process


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, so that a valid one survives a kill at any moment.

    When last.ckpt is replaced, the earlier one is kept as previous.ckpt.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with written_aside(path) as aside:
            torch.save(checkpoint, aside)
            if Path(path).name == CHECKPOINT.name and Path(path).is_file():
                kept_as(Path(path), Path(path).with_name(PREVIOUS.name))


class Interruption:
    """Records Ctrl-C and SIGTERM within the block, so that the run can save its state before it ends.

    A second signal ends the process at once. An existing SIGTERM handler of another library is kept (submitit
    requeues its jobs with one).
    """

    received: int | None = None

    def __enter__(self) -> "Interruption":
        handler = signal.getsignal(signal.SIGTERM)
        numbers = [signal.SIGINT]
        if handler == signal.SIG_DFL or getattr(handler, "__module__", "").startswith("dgn."):
            numbers.append(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():
            numbers = []
        self._before = {number: signal.getsignal(number) for number in numbers}
        self.take()
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self) -> None:
        """Installs the handlers, again if others have replaced them (as Lightning does when a fit begins)."""
        for number in self._before:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            send(os.getpid(), number)
        self.received = number


class Checkpoints(pl.Callback):
    """Writes checkpoints/last.ckpt every `every_n_steps` steps (0: never) and after the last step.

    After an interruption, all processes save at the end of the current step and raise `Interrupted`.

    Args:
        folder: The folder of the run.
        every_n_steps: Steps between checkpoints.
        command: The command that resumes the run, for the message.
        interruption: Records the signals.
    """

    def __init__(self, folder: Path, every_n_steps: int, command: str, interruption: Interruption) -> None:
        self.path, self.every_n_steps, self.command = folder / CHECKPOINT, every_n_steps, command
        self.interruption = interruption
        self._saved_at = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.interruption.take()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        stop, step = any_process(self.interruption.received is not None), trainer.global_step
        due = self.every_n_steps > 0 and step % self.every_n_steps == 0
        if stop or due or step == trainer.max_steps:
            self._save(trainer, pl_module)
        if stop:
            self._end(step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.interruption.take()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # There is no further step at whose end the run could stop. Its state is saved.
        last = trainer.global_step >= trainer.max_steps
        if last and any_process(self.interruption.received is not None):
            self._end(trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module)

    def _end(self, step: int) -> None:
        number = self.interruption.received or signal.SIGINT  # the signal may have reached another process only
        raise Interrupted(number, f"stopped at step {step}; resume with: {self.command}")

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._saved_at == trainer.global_step:
            return
        if not all(bool(p.isfinite().all()) for p in pl_module.parameters() if p.requires_grad):
            return  # the losses were finite but the weights are not: the next step raises
        trainer.save_checkpoint(self.path)
        self._saved_at = trainer.global_step


class LastValidation(pl.Callback):
    """Records the step and the metrics of the last validation."""

    step: int | None = None
    metrics: Mapping[str, float] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning logs a validation after the fit one step later than one of the same moment within it.
        if trainer.state.fn == TrainerFn.VALIDATING:
            pl_module.log("step", float(trainer.global_step - 1), batch_size=1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.step = trainer.global_step
        self.metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}


class Throughput(pl.Callback):
    """Logs train/images_per_second every `every_n_steps` steps (0: never).

    With `lines`, for outputs without a progress bar, it also prints the step, the metrics of the progress bar,
    images/s and the time left; and where these are far apart, or a validation takes long, how far it is.
    """

    _steps: Phase
    _validation: Phase

    def __init__(self, every_n_steps: int, lines: bool) -> None:
        self.every_n_steps, self.lines = every_n_steps, lines
        self._images, self._since = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._images, self._since, self._first = 0, time.perf_counter(), trainer.global_step
        left = trainer.max_steps - trainer.global_step
        self._steps = Phase(
            left, "Training, in steps", "fewer with trainer.max_steps=N; a run can be stopped and resumed"
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], *_: Any
    ) -> None:
        self._images += len(batch[0]) * trainer.world_size
        now, step = time.perf_counter(), trainer.global_step
        if not self.every_n_steps or step % self.every_n_steps:
            if self.lines and trainer.is_global_zero:
                self._steps.reached(step - self._first)
            return
        self._steps.postpone()
        rate = self._images / (now - self._since)
        self._images, self._since = 0, now
        pl_module.log("train/images_per_second", rate, prog_bar=True)
        if self.lines and trainer.is_global_zero:
            metrics = {name: value for name, value in trainer.progress_bar_metrics.items() if name.startswith("train/")}
            metrics.pop("train/images_per_second", None)
            shown = "  ".join(f"{_short(name)} {float(value):.3g}" for name, value in metrics.items())
            seconds = (trainer.max_steps - step) * len(batch[0]) * trainer.world_size / rate
            left = datetime.timedelta(seconds=round(seconds))
            print(f"  step {step}/{trainer.max_steps}  {shown}  {rate:.0f} images/s  {left} left", flush=True)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batches = sum(count for count in trainer.num_val_batches if math.isfinite(count))
        self._validation = Phase(
            int(batches),
            "Validating, in batches",
            "fewer with data.val_images=N, less often with trainer.val_check_interval",
        )

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if self.lines and trainer.is_global_zero:
            self._validation.reached(batch_idx + 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The time of validation does not count.
        self._images, self._since = 0, time.perf_counter()


class Progress(pl.callbacks.RichProgressBar):
    """The progress bar in a terminal: the step, the main metrics and images/s."""

    def __init__(self) -> None:
        super().__init__(leave=True, theme=RichProgressBarTheme(metrics_format=".3g"))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)  # the version of a logger's folder
        return {_short(name): value for name, value in metrics.items()}

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"  # the stream of images has no epochs


def _short(name: str) -> str:
    """Returns the short name of a metric for the screen."""
    short = {"train/images_per_second": "images/s", "train/psnr": "PSNR", "train/feature_distance": "feature distance"}
    return short.get(name, name.removeprefix("train/").removeprefix("loss_"))


class Reconstructions(pl.Callback):
    """Writes reconstructions/step_NNNNNN.png at each validation: real images x above G(E(x)).

    The images are the same each time. The picture is also logged through every logger that accepts images.
    """

    def __init__(self, folder: Path, images: Tensor) -> None:
        self.folder, self.images = folder / "reconstructions", images

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        images = self.images.to(pl_module.device)
        module: Any = pl_module  # dgn.training.inversion.Inversion, which needs this file's errors
        codes, _ = module.encode(images)
        grid = reconstruction_grid(images.cpu(), module.best_generator(codes).float().clamp(0, 1).cpu())
        step = trainer.global_step
        save_png(grid, self.folder / f"step_{step:06d}.png")
        log_pictures(trainer.loggers, "val/reconstructions", [grid], [f"real over reconstructed, step {step}"], step)
