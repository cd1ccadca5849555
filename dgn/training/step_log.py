"""What a training step has to report, on its way to the loggers and to the bar."""

from collections.abc import Mapping

import pytorch_lightning as pl
from torch import Tensor


def log_step(module: pl.LightningModule, step: int, metrics: Mapping[str, float | Tensor], shown: bool = False) -> None:
    """Lightning's `log`, at the steps whose metrics the loggers take: every `trainer.log_every_n_steps`-th.

    Called at every step, `log` takes about half a millisecond a metric, on a GPU a copy to the device too, for values
    that nobody sees. step: iterations done, this one among them. metrics: {name: number}. shown: by the progress bar,
    too.
    """
    every: int = getattr(module.trainer, "log_every_n_steps")  # noqa: B009 (Lightning sets it without declaring it)
    if every and step % every == 0:
        for name, value in metrics.items():
            module.log(name, value, batch_size=1, prog_bar=shown)
