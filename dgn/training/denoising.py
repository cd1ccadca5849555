"""Trains the prior over codes, a denoising autoencoder of real codes (Nguyen et al. 2017, PPGN-h)."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.datamodule import ImageData
from dgn.prior.code_prior import CodeAutoencoder
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.distributed import average, average_gradients
from dgn.training.randomness import seed_step
from dgn.training.schedules import get_optimizer, get_schedule
from dgn.training.step_log import log_step


class Denoising(pl.LightningModule):
    """LightningModule that minimizes the mean squared error between a code and its reconstruction from a noisy code.

    Both are normalized by the scale of the codes.

    Args:
        autoencoder: The network to train.
        optimizer: Factory of the optimizer, as for Inversion.
        schedule: Factory of the learning-rate schedule, as for Inversion.
        noise: Standard deviation of the noise, in root mean square standard deviations of the units of the code.
        seed: Seed of the noise, which depends on (seed, step, rank).
        accumulate: As for Inversion.
        gradient_clip: As for Inversion.
    """

    def __init__(
        self,
        autoencoder: CodeAutoencoder,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
        noise: float = 1.0,
        seed: int = 0,
        accumulate: int = 1,
        gradient_clip: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.accumulate, self.gradient_clip = accumulate, gradient_clip
        self.autoencoder = autoencoder
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.noise, self.seed = noise, seed

    def error(self, codes: Tensor, noise: Tensor) -> Tensor:
        """Returns |DAE(y + noise) - y|^2 per unit, in variances of the code; that of the noise is `self.noise`^2."""
        scale = self.autoencoder.scale
        noisy = codes + self.noise * scale * noise
        return F.mse_loss(self.autoencoder(noisy) / scale, codes / scale)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        seed_step(self.seed, self.global_step, self.global_rank)
        codes, _ = batch
        optimizer = get_optimizer(self)
        optimizer.zero_grad(set_to_none=True)
        mean = torch.zeros((), device=self.device)
        for part, noise in parts((codes, torch.randn_like(codes)), self.accumulate):
            loss = self.error(part, noise) / self.accumulate
            self.manual_backward(loss)
            mean += loss.detach()
        log_step(self, self.global_step + 1, average({"train/loss": mean}), shown=True)
        average_gradients(self.autoencoder.parameters())
        clip_gradients(self.autoencoder.parameters(), self.gradient_clip)
        optimizer.step()
        get_schedule(self).step()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        codes, _ = batch
        generator = torch.Generator().manual_seed(batch_idx)
        loss = self.error(codes, torch.randn(codes.shape, generator=generator).to(codes.device))
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(codes), sync_dist=True)
        self.log("val/loss", loss, **log)
        self.log("val/noise_left", loss / self.noise**2, **log)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer([{"params": list(self.autoencoder.parameters())}])
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}


class Codes(Dataset):
    """Codes of real images, as a source of the training stream: (code, 0)."""

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.codes[index], 0


class CodeData(ImageData):
    """The training stream over codes instead of images."""

    def __init__(self, train: Tensor, val: Tensor, batch_size: int = 64, seed: int = 0) -> None:
        super().__init__(Codes(train), Codes(val), 0, batch_size, val_images=len(val), seed=seed)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch
