"""Trains a classifier on labelled images, to be used as the encoder."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from dgn.networks.featurenet import FeatureNet
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.distributed import average, average_gradients
from dgn.training.randomness import seed_step
from dgn.training.schedules import get_optimizer, get_schedule
from dgn.training.step_log import log_step


class Classification(pl.LightningModule):
    """LightningModule that minimizes the cross entropy of the logits of a FeatureNet's class layer.

    Args:
        net: The network to train. Its class layer has one unit per class.
        optimizer: Factory of the optimizer, as for Inversion.
        schedule: Factory of the learning-rate schedule, as for Inversion.
        seed: Seed of dropout and augmentation, which depend on (seed, step, rank).
        label_smoothing: Label smoothing of the cross entropy.
        augmentation: Applied to the images of a training step; draws from torch's global generator.
        accumulate: The number of equal parts of a batch whose gradients are summed. The step equals that of the whole
            batch, except for batch normalization, which sees one part at a time, and for dropout other than
            `SharedDropout`, whose masks differ.
        gradient_clip: The largest norm of the gradients (None: no limit).
    """

    def __init__(
        self,
        net: FeatureNet,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
        seed: int = 0,
        label_smoothing: float = 0.0,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        accumulate: int = 1,
        gradient_clip: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.accumulate, self.gradient_clip = accumulate, gradient_clip
        self.net = net
        self.layer = net.class_layer()
        # A FeatureNet freezes its network in evaluation mode; here it is trained.
        self.network: nn.Module = net.network.requires_grad_(True)
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.seed, self.label_smoothing, self.augmentation = seed, label_smoothing, augmentation

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        seed_step(self.seed, self.global_step, self.global_rank)
        images, labels = batch
        if self.augmentation is not None:
            images = self.augmentation(images)
        self.network.train()
        optimizer = get_optimizer(self)
        optimizer.zero_grad(set_to_none=True)
        mean = torch.zeros((), device=self.device)
        for part, targets in parts((images, labels), self.accumulate):
            logits = self.net(part, [self.layer])[self.layer]
            loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing) / self.accumulate
            self.manual_backward(loss)
            mean += loss.detach()
        log_step(self, self.global_step + 1, {"train/loss": average({"loss": mean})["loss"]}, shown=True)
        log_step(self, self.global_step + 1, {"train/lr": get_schedule(self).get_last_lr()[0]})
        average_gradients(self.network.parameters())
        clip_gradients(self.network.parameters(), self.gradient_clip)
        optimizer.step()
        get_schedule(self).step()

    def on_validation_model_eval(self) -> None:
        self.network.eval()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self.net(images, [self.layer])[self.layer]
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        self.log("val/accuracy", (logits.argmax(1) == labels).float().mean(), **log)
        self.log("val/loss", F.cross_entropy(logits, labels), **log)

    def on_fit_end(self) -> None:
        """Freezes the network again, as in every FeatureNet outside this module."""
        self.network.eval().requires_grad_(False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer([{"params": list(self.network.parameters())}])
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}
