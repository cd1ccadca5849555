"""Keeps a network's weights at points of its training."""

from collections.abc import Collection
from pathlib import Path

import pytorch_lightning as pl

from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import save_network

FOLDER = "snapshots"


class Snapshots(pl.Callback):
    """Writes snapshots/STEP.safetensors after each of the steps; step 0 is before the first.

    Args:
        net: the network that is trained.
        steps: after which its weights are kept.
        folder: of the run.
    """

    def __init__(self, net: FeatureNet, steps: Collection[int], folder: Path) -> None:
        self.net, self.steps, self.folder = net, set(steps), folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._keep(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self._keep(trainer)

    def _keep(self, trainer: pl.Trainer) -> None:
        if trainer.global_step in self.steps and trainer.is_global_zero:
            save_network(self.net, snapshot(self.folder, trainer.global_step))


def snapshot(folder: Path, step: int) -> Path:
    """Returns the path of the weights after a step, in the folder of a run."""
    return folder / FOLDER / f"{step}.safetensors"
