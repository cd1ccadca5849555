"""Logging of the metrics of a training step, for the loggers and the progress bar."""

from collections.abc import Mapping

import pytorch_lightning as pl
from torch import Tensor


def log_step(module: pl.LightningModule, step: int, metrics: Mapping[str, float | Tensor], shown: bool = False) -> None:
    """Calls Lightning's `log` every `trainer.log_every_n_steps` steps only, when the loggers record the metrics.

    A call of `log` takes about half a millisecond per metric, and on a GPU also a copy to the device; at other steps
    its values would be discarded.

    Args:
        module: The module that trains.
        step: Number of iterations so far, including this one.
        metrics: {name: number}.
        shown: If True, also shows the metrics in the progress bar.
    """
    every: int = getattr(module.trainer, "log_every_n_steps")  # noqa: B009 (Lightning sets it without declaring it)
    if every and step % every == 0:
        for name, value in metrics.items():
            module.log(name, value, batch_size=1, prog_bar=shown)
