"""Trains the prior over codes, a denoising autoencoder of real codes (Nguyen et al. 2017, PPGN-h)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.datamodule import ImageData
from dgn.prior.code_prior import CodeAutoencoder
from dgn.training.one_network import OneNetwork
from dgn.training.settings import Learning


class Denoising(OneNetwork):
    """LightningModule that minimizes the mean squared error between a code and its reconstruction from a noisy code.

    Both are normalized by the scale of the codes.

    Args:
        autoencoder: The network to train.
        learning: How its weights are learned.
        noise: Standard deviation of the noise, in root mean square standard deviations of the units of the code.
    """

    def __init__(self, autoencoder: CodeAutoencoder, learning: Learning, noise: float = 1.0) -> None:
        super().__init__(learning)
        self.autoencoder, self.noise = autoencoder, noise

    @property
    def trained(self) -> CodeAutoencoder:
        return self.autoencoder

    def error(self, codes: Tensor, noise: Tensor) -> Tensor:
        """Returns |DAE(y + noise) - y|^2 per unit, in variances of the code; that of the noise is `self.noise`^2."""
        scale = self.autoencoder.scale
        noisy = codes + self.noise * scale * noise
        return F.mse_loss(self.autoencoder(noisy) / scale, codes / scale)

    def passes(self, batch: tuple[Tensor, ...]) -> Tensor:
        return self.error(batch[0], torch.randn_like(batch[0]))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.seed_step()
        codes, _ = batch
        self.learn((codes, torch.randn_like(codes)), self.error)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        codes, _ = batch
        generator = torch.Generator().manual_seed(batch_idx)
        loss = self.error(codes, torch.randn(codes.shape, generator=generator).to(codes.device))
        self.log_validation({"val/loss": loss, "val/noise_left": loss / self.noise**2}, len(codes))


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

    def prepared(self, batch: Any) -> Any:
        return batch
