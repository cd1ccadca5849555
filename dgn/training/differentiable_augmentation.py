"""Differentiable augmentation of what D sees (DiffAugment, Zhao et al. 2020).

The image x and its reconstruction G(E(x)) get the same random change, so that they remain a pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.dropout import own_rows, whole_batch
from dgn.networks.precision import full_precision

CHANGES = ("color", "translation", "cutout")


@dataclass(frozen=True)
class DifferentiableAugmentation:
    """Random changes of pairs of images.

    Args:
        changes: Among color (brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5), translation (up
            to 1/8 of a side; black outside) and cutout (a black square of half a side).

    Raises:
        UserError: If a change is unknown.
    """

    changes: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = [change for change in self.changes if change not in CHANGES]
        if unknown:
            raise UserError(f"discriminator.augment={unknown[0]}: give a list of {', '.join(CHANGES)}, or []")

    @full_precision
    def __call__(self, real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
        """Changes real and generated images (N, 3, H, W) in image space; image i of both in the same way."""
        pair = torch.stack([real, generated], 1)
        for change in self.changes:
            pair = getattr(self, f"_{change}")(pair)
        return pair[:, 0].contiguous(), pair[:, 1].contiguous()

    def _color(self, pair: Tensor) -> Tensor:
        pair = pair + self._uniform(pair, -0.5, 0.5)
        gray = pair.mean(2, keepdim=True)
        pair = gray + (pair - gray) * self._uniform(pair, 0.0, 2.0)
        level = pair.mean((2, 3, 4), keepdim=True)
        return level + (pair - level) * self._uniform(pair, 0.5, 1.5)

    def _translation(self, pair: Tensor) -> Tensor:
        height, width = pair.shape[-2:]
        rows, columns = (self._places(pair, -side // 8, side // 8) for side in (height, width))
        reach = max(height, width) // 8 + 1
        padded = F.pad(pair, (reach,) * 4)
        down = (torch.arange(height, device=pair.device) + reach + rows)[:, None, None, :, None]
        across = (torch.arange(width, device=pair.device) + reach + columns)[:, None, None, None, :]
        shape = pair.shape
        moved = padded.gather(3, down.expand(*shape[:3], height, padded.shape[-1]))
        return moved.gather(4, across.expand(*shape))

    def _cutout(self, pair: Tensor) -> Tensor:
        height, width = pair.shape[-2:]
        hidden = []
        for side in (height, width):
            centre = self._places(pair, 0, side - 1)
            hidden.append((torch.arange(side, device=pair.device) - centre).abs() < side / 4)
        mask = hidden[0][:, :, None] & hidden[1][:, None, :]
        return pair * ~mask[:, None, None]

    @staticmethod
    def _uniform(pair: Tensor, low: float, high: float) -> Tensor:
        drawn = own_rows(torch.rand(whole_batch(len(pair)), device=pair.device), len(pair))
        return (low + (high - low) * drawn)[:, None, None, None, None]

    @staticmethod
    def _places(pair: Tensor, low: int, high: int) -> Tensor:
        """Whole numbers from low to high, (N, 1)."""
        drawn = own_rows(torch.rand(whole_batch(len(pair)), device=pair.device), len(pair))
        return (low + (drawn * (high - low + 1)).long().clamp_max(high - low))[:, None]
