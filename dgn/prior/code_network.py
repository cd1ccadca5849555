"""The network of the code model: a residual multilayer perceptron that is given the noise level of its input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FREQUENCIES = 32  # of the noise level's embedding, as many sines and cosines


class CodeNetwork(nn.Module):
    """Residual blocks of two linear layers, as in RCG's model of representations (Li et al. 2023, RDM).

    Every block scales and shifts its normalized input by the noise level (Dhariwal & Nichol 2021). The last layer of
    each block and of the network begins at zero, so that an untrained network returns zero.

    Args:
        units: Number of inputs and outputs, k.
        width: Number of units of the hidden layers.
        blocks: Number of residual blocks.
    """

    frequencies: Tensor

    def __init__(self, units: int, width: int, blocks: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1.3, _FREQUENCIES))
        self.embedding = nn.Linear(2 * _FREQUENCIES, 2 * _FREQUENCIES)
        self.first = nn.Linear(units, width)
        self.blocks = nn.ModuleList(_Block(width, 2 * _FREQUENCIES) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, units)
        _zero(self.last)

    def forward(self, inputs: Tensor, log_noise: Tensor) -> Tensor:
        """Maps inputs (N, k) at noise levels with logarithms log_noise (N,) to outputs (N, k)."""
        angles = log_noise[:, None] * self.frequencies
        level = F.silu(self.embedding(torch.cat([angles.sin(), angles.cos()], 1)))
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = block(hidden, level)
        return self.last(F.silu(self.norm(hidden)))


class _Block(nn.Module):
    def __init__(self, width: int, level: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(level, 2 * width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        _zero(self.modulation)
        _zero(self.outer)

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulation(level).chunk(2, 1)
        inner = F.silu(self.norm(hidden) * (1 + scale) + shift)
        return hidden + self.outer(F.silu(self.inner(inner)))


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
