"""What training a single network by a single loss has in common, whatever the loss is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from dgn.training.accumulation import clip_gradients, parts
from dgn.training.distributed import average, average_gradients
from dgn.training.randomness import seed_step
from dgn.training.schedules import get_optimizer, get_schedule
from dgn.training.settings import Learning
from dgn.training.step_log import log_step


class OneNetwork(pl.LightningModule, ABC):
    """LightningModule that trains one network, `trained`, with the gradients of the parts of a batch.

    Args:
        learning: How its weights are learned.
    """

    def __init__(self, learning: Learning) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.learning = learning

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The network whose parameters are learned."""

    def passes(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Returns the loss of a batch as the data give it, to measure how long passes take."""
        raise NotImplementedError  # needed only where `rehearse` measures the precision

    def rehearse(self, batch: tuple[Tensor, ...]) -> None:
        """Runs the network forward and backward on a batch, and changes no parameter and no gradient."""
        was_training = self.trained.training
        self.trained.train()
        try:
            torch.autograd.grad(self.passes(batch), list(self.trained.parameters()), allow_unused=True)
        finally:
            self.trained.train(was_training)

    def seed_step(self) -> None:
        """Seeds the random numbers of the current step."""
        seed_step(self.learning.seed, self.global_step, self.global_rank)

    def learn(self, batch: tuple[Tensor, ...], loss: Callable[..., Tensor]) -> None:
        """Does one step of the optimizer and of the schedule, and logs the loss and the learning rate.

        Args:
            batch: Tensors (N, ...), split into parts alike.
            loss: Maps the tensors of a part to its mean loss.
        """
        optimizer = get_optimizer(self)
        optimizer.zero_grad(set_to_none=True)
        mean = torch.zeros((), device=self.device)
        for part in parts(batch, self.learning.accumulate):
            share = loss(*part) / self.learning.accumulate
            self.manual_backward(share)
            mean += share.detach()
        log_step(self, self.global_step + 1, average({"train/loss": mean}), shown=True)
        log_step(self, self.global_step + 1, {"train/lr": get_schedule(self).get_last_lr()[0]})
        average_gradients(self.trained.parameters())
        clip_gradients(self.trained.parameters(), self.learning.gradient_clip)
        optimizer.step()
        get_schedule(self).step()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.learning.make_optimizer([{"params": list(self.trained.parameters())}])
        return {"optimizer": optimizer, "lr_scheduler": self.learning.make_schedule(optimizer)}

    def log_validation(self, metrics: dict[str, Tensor], batch_size: int) -> None:
        """Logs metrics of a batch of validation, which are averaged over all batches and processes."""
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=batch_size, sync_dist=True)
        for name, value in metrics.items():
            self.log(name, value, **log)
