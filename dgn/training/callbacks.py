"""What happens around the training steps: checkpoints and interruptions, progress, reconstructions."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from dgn.data.images import save_png
from dgn.files import written_aside
from dgn.report.figures import reconstruction_grid
from dgn.runs import CHECKPOINT, Interrupted


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, so that the last good one survives a kill at any moment."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with written_aside(path) as aside:
            torch.save(checkpoint, aside)


class Checkpoints(pl.Callback):
    """Writes checkpoints/last.ckpt every `every_n_steps` steps and, on Ctrl-C or SIGTERM, at the end of the step
    under way; then the run ends with `Interrupted`. A second Ctrl-C does not wait."""

    def __init__(self, folder: Path, every_n_steps: int, command: str) -> None:
        self.path, self.every_n_steps, self.command = folder / CHECKPOINT, every_n_steps, command
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._saved_at = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if self._received is not None:
            self._save(trainer, pl_module)
            raise Interrupted(self._received, f"stopped at step {step}; go on with: {self.command}")
        if step % self.every_n_steps == 0:
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _receive(self, number: int, frame: Any) -> None:
        if self._received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._received = number

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._saved_at == trainer.global_step:
            return
        if not all(bool(p.isfinite().all()) for p in pl_module.parameters() if p.requires_grad):
            return  # the step's losses were finite and its weights are not: the next step says so
        trainer.save_checkpoint(self.path)
        self._saved_at = trainer.global_step


class Throughput(pl.Callback):
    """Logs train/images_per_second; where no progress bar can be shown, prints a line now and then."""

    def __init__(self, every_n_steps: int, lines: bool) -> None:
        self.every_n_steps, self.lines = every_n_steps, lines
        self._images, self._since, self._said = 0, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._images, self._since, self._said = 0, time.perf_counter(), time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: tuple[Tensor, Tensor], *_: Any
    ) -> None:
        self._images += len(batch[0]) * trainer.world_size
        now, step = time.perf_counter(), trainer.global_step
        if step % self.every_n_steps:
            return
        rate = self._images / (now - self._since)
        self._images, self._since = 0, now
        pl_module.log("train/images_per_second", rate, prog_bar=True)
        if self.lines and (now - self._said > 15 or step == trainer.max_steps):
            self._said = now
            losses = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("train/loss")}
            shown = "  ".join(f"{k.removeprefix('train/')} {v:.3g}" for k, v in losses.items())
            left = (trainer.max_steps - step) * len(batch[0]) * trainer.world_size / rate
            print(f"  step {step}/{trainer.max_steps}  {shown}  {rate:.0f} images/s  {left:.0f} s left", flush=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Validation's time is not the steps' time.
        self._images, self._since = 0, time.perf_counter()


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
        codes, _ = pl_module.encode(images)
        grid = reconstruction_grid(images.cpu(), pl_module.best_generator(codes).float().clamp(0, 1).cpu())
        step = trainer.global_step
        save_png(grid, self.folder / f"step_{step:06d}.png")
        for logger in trainer.loggers:
            caption = f"real over reconstructed, step {step}"
            if hasattr(logger, "log_image"):
                logger.log_image("val/reconstructions", [grid], step=step, caption=[caption])
            elif hasattr(logger.experiment, "add_image"):
                logger.experiment.add_image("val/reconstructions", grid, step)
