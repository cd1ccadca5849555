"""What happens around the training steps: checkpoints and interruptions, progress, reconstructions."""

import datetime
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
from dgn.training.distributed import any_process


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, so that the last good one survives a kill at any moment. When last.ckpt
    is replaced, the one that was there is kept as previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with written_aside(path) as aside:
            torch.save(checkpoint, aside)
            if Path(path).name == CHECKPOINT.name and Path(path).is_file():
                kept_as(Path(path), Path(path).with_name(PREVIOUS.name))


class Interruption:
    """Ctrl-C and SIGTERM within the block are noted, for the run to end where nothing is lost. A second one does not
    wait. SIGTERM that someone else takes already (submitit, whose jobs are requeued) stays theirs."""

    received: int | None = None

    def __enter__(self) -> "Interruption":
        theirs = signal.getsignal(signal.SIGTERM)
        numbers = [signal.SIGINT]
        if theirs == signal.SIG_DFL or getattr(theirs, "__module__", "").startswith("dgn."):
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
        """Takes the signals, again where something has taken them since (Lightning does as a fit begins)."""
        for number in self._before:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number


class Checkpoints(pl.Callback):
    """Writes checkpoints/last.ckpt every `every_n_steps` steps (0: never) and at the last; after an interruption, at
    the end of the step under way, in all processes the same; then the run ends with `Interrupted`. command: how to
    resume it."""

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
        # After the last step no other comes, at whose end the run could stop. What it has learned is saved.
        last = trainer.global_step >= trainer.max_steps
        if last and any_process(self.interruption.received is not None):
            self._end(trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module)

    def _end(self, step: int) -> None:
        number = self.interruption.received or signal.SIGINT  # where another process was told, this one was not
        raise Interrupted(number, f"stopped at step {step}; go on with: {self.command}")

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._saved_at == trainer.global_step:
            return
        if not all(bool(p.isfinite().all()) for p in pl_module.parameters() if p.requires_grad):
            return  # the step's losses were finite and its weights are not: the next step says so
        trainer.save_checkpoint(self.path)
        self._saved_at = trainer.global_step


class LastValidation(pl.Callback):
    """Remembers the last validation: at which step it was, and what it found."""

    step: int | None = None
    found: Mapping[str, float] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning logs a validation after the fit one step later than one of the same moment within it.
        if trainer.state.fn == TrainerFn.VALIDATING:
            pl_module.log("step", float(trainer.global_step - 1), batch_size=1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.step = trainer.global_step
        self.found = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}


class Throughput(pl.Callback):
    """Logs train/images_per_second and, where no progress bar can be shown, prints a line: the step, the metrics that a
    bar would show, images/s and the time left. Every so many steps; 0: never."""

    def __init__(self, every_n_steps: int, lines: bool) -> None:
        self.every_n_steps, self.lines = every_n_steps, lines
        self._images, self._since = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._images, self._since = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], *_: Any
    ) -> None:
        self._images += len(batch[0]) * trainer.world_size
        now, step = time.perf_counter(), trainer.global_step
        if not self.every_n_steps or step % self.every_n_steps:
            return
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

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Validation's time is not the steps' time.
        self._images, self._since = 0, time.perf_counter()


class Progress(pl.callbacks.RichProgressBar):
    """The bar that a terminal shows: the step, what a person can read of how training goes, and images/s."""

    def __init__(self) -> None:
        super().__init__(leave=True, theme=RichProgressBarTheme(metrics_format=".3g"))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)  # the version of a logger's folder
        return {_short(name): value for name, value in metrics.items()}

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"  # the stream of images has no epochs


def _short(name: str) -> str:
    """A metric's name on the screen."""
    short = {"train/images_per_second": "images/s", "train/psnr": "PSNR", "train/feature_distance": "feature distance"}
    return short.get(name, name.removeprefix("train/").removeprefix("loss_"))


class Reconstructions(pl.Callback):
    """At each validation: reconstructions/step_NNNNNN.png, real images over G(E(x)), the same images each time; and
    the same picture through every logger that takes images."""

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
