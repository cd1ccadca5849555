"""Layers without weights that bring a code into another layout: reshape, tokens to a map, resize."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.networks.precision import full_precision


class Reshape(nn.Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


class Grid(nn.Module):
    """Tokens (N, k + H*W, D) -> map (N, D * (1 + k), H, W); the k first tokens become constant channels."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, tokens: Tensor) -> Tensor:
        positions = self.height * self.width
        further = tokens.shape[1] - positions
        grid = tokens[:, further:].transpose(1, 2).reshape(len(tokens), -1, self.height, self.width)
        constant = tokens[:, :further].reshape(len(tokens), -1, 1, 1).expand(-1, -1, self.height, self.width)
        return torch.cat([grid, constant], dim=1)


class Resize(nn.Module):
    """(N, C, H, W) -> (N, C, height, width), bilinear, antialiased where it shrinks."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    @full_precision
    def forward(self, x: Tensor) -> Tensor:
        smaller = self.size[0] < x.shape[-2] or self.size[1] < x.shape[-1]
        return F.interpolate(x, self.size, mode="bilinear", antialias=smaller, align_corners=False)
