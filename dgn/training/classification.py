"""Classification: fitting any network to any labelled images, so that there is an encoder to invert."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from dgn.networks.featurenet import FeatureNet
from dgn.training.randomness import seed_step
from dgn.training.replicas import average, average_gradients
from dgn.training.schedules import schedule_of
from dgn.training.step_log import log_step


class Classification(pl.LightningModule):
    """The LightningModule: cross entropy on the logits of a FeatureNet's class layer.

    net: the network to fit; its class layer has a unit for each class. optimizer, schedule: makers, as for
    Inversion. seed: of dropout, a function of (seed, step, rank). label_smoothing: of the cross entropy.
    augmentation: of the images of a training step, drawing from torch's generator, seeded as dropout is.
    """

    def __init__(
        self,
        net: FeatureNet,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
        seed: int = 0,
        label_smoothing: float = 0.0,
        augmentation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.layer = net.class_layer()
        # A FeatureNet keeps its network fixed and in evaluation mode; here it is what learns.
        self.network: nn.Module = net.network.requires_grad_(True)
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.seed, self.label_smoothing, self.augmentation = seed, label_smoothing, augmentation

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        seed_step(self.seed, self.global_step, self.global_rank)
        images, labels = batch
        if self.augmentation is not None:
            images = self.augmentation(images)
        self.network.train()
        logits = self.net(images, [self.layer])[self.layer]
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        log_step(self, self.global_step + 1, {"train/loss": average({"loss": loss.detach()})["loss"]}, shown=True)
        log_step(self, self.global_step + 1, {"train/lr": schedule_of(self).get_last_lr()[0]})
        return loss

    def on_after_backward(self) -> None:
        average_gradients(self.network.parameters())

    def on_validation_model_eval(self) -> None:
        self.network.eval()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self.net(images, [self.layer])[self.layer]
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        self.log("val/accuracy", (logits.argmax(1) == labels).float().mean(), **log)
        self.log("val/loss", F.cross_entropy(logits, labels), **log)

    def on_fit_end(self) -> None:
        """Fixed again, as every FeatureNet is outside this module."""
        self.network.eval().requires_grad_(False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer([{"params": list(self.network.parameters())}])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_schedule(optimizer), "interval": "step"},
        }
