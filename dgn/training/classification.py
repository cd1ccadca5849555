"""Trains a classifier on labelled images, to be used as the encoder."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dgn.networks.featurenet import FeatureNet
from dgn.training.one_network import OneNetwork
from dgn.training.settings import Learning


class Classification(OneNetwork):
    """LightningModule that minimizes the cross entropy of the logits of a FeatureNet's class layer.

    Args:
        net: The network to train. Its class layer has one unit per class.
        learning: How its weights are learned. With accumulate, the step equals that of the whole batch, except for
            batch normalization, which sees one part at a time, and for dropout other than `SharedDropout`, whose masks
            differ.
        label_smoothing: Label smoothing of the cross entropy.
        augmentation: Applied to the images of a training step; draws from torch's global generator.
    """

    def __init__(
        self,
        net: FeatureNet,
        learning: Learning,
        label_smoothing: float = 0.0,
        augmentation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(learning)
        self.net = net
        self.layer = net.class_layer()
        # A FeatureNet freezes its network in evaluation mode; here it is trained.
        self.network: nn.Module = net.network.requires_grad_(True)
        self.label_smoothing, self.augmentation = label_smoothing, augmentation

    @property
    def trained(self) -> nn.Module:
        return self.network

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.seed_step()
        images, labels = batch
        if self.augmentation is not None:
            images = self.augmentation(images)
        self.network.train()
        self.learn((images, labels), self.loss)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Returns the mean cross entropy of images (N, 3, H, W) with labels (N,), smoothed."""
        return F.cross_entropy(self.logits(images), labels, label_smoothing=self.label_smoothing)

    def passes(self, batch: tuple[Tensor, ...]) -> Tensor:
        return self.loss(*batch)

    def logits(self, images: Tensor) -> Tensor:
        """Maps images (N, 3, H, W) to logits (N, classes)."""
        return self.net(images, [self.layer])[self.layer]

    def on_validation_model_eval(self) -> None:
        self.network.eval()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self.logits(images)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_validation({"val/accuracy": accuracy, "val/loss": F.cross_entropy(logits, labels)}, len(images))

    def on_fit_end(self) -> None:
        """Freezes the network again, as in every FeatureNet outside this module."""
        self.network.eval().requires_grad_(False)
