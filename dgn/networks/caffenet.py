"""CaffeNet, full size and mini: the network that the paper inverts, and a small version for 64-px images.

Topology (DeePSiM, Caffe's bvlc_reference_caffenet): conv1 .. conv5 with pooling before normalization after conv1
and conv2, pool5, then fc6, fc7, fc8 and prob. Modules carry Caffe's names; as Caffe rectifies in place, the layer
names conv1 .. conv5, fc6 and fc7 mean the activations after the ReLU.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.networks.dropout import SharedDropout

RECTIFIED = {f"conv{i}": f"relu{i}" for i in range(1, 6)} | {"fc6": "relu6", "fc7": "relu7"}
"""Caffe's names of the rectified layers -> our modules that compute them (FeatureNet's aliases)."""


@dataclass(frozen=True)
class CaffeNetSizes:
    """Sizes that differ between the full and the mini CaffeNet; the topology is the same."""

    first_kernel: int = 11
    first_stride: int = 4
    first_padding: int = 0
    channels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    hidden: int = 4096
    pooled_side: int = 6
    dropout: float = 0.5


FULL = CaffeNetSizes()
MINI = CaffeNetSizes(
    first_kernel=5,
    first_stride=2,
    first_padding=2,
    channels=(32, 64, 96, 96, 64),
    hidden=1024,
    pooled_side=4,
    dropout=0.0,  # CaffeNet's 0.5 suits 60M weights; here it would only remove information from the codes
)


def caffenet_layers(sizes: CaffeNetSizes, classes: int, channels: int = 3) -> nn.Sequential:
    """The layers in Caffe's order and names.

    Input: (N, channels, 227, 227) for FULL, (N, channels, 64, 64) for MINI; output: class probabilities (N, classes).
    """
    c1, c2, c3, c4, c5 = sizes.channels
    features = c5 * sizes.pooled_side**2
    named: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(channels, c1, sizes.first_kernel, sizes.first_stride, sizes.first_padding)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm1", LocalResponseNorm()),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2, groups=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm2", LocalResponseNorm()),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(features, sizes.hidden)),
        ("relu6", nn.ReLU()),
        ("drop6", SharedDropout(sizes.dropout)),
        ("fc7", nn.Linear(sizes.hidden, sizes.hidden)),
        ("relu7", nn.ReLU()),
        ("drop7", SharedDropout(sizes.dropout)),
        ("fc8", nn.Linear(sizes.hidden, classes)),
        ("prob", nn.Softmax(dim=1)),
    ]
    layers = nn.Sequential(OrderedDict(named))
    for module in layers:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return layers


class LocalResponseNorm(nn.Module):
    """Caffe's LRN across channels: x / (1 + alpha / size * sum over the window of x^2)^beta.

    The same function as torch.nn.LocalResponseNorm, which pools in 3-D; here the window sum is a 1x1 convolution
    with a banded matrix, which the CPU and the GPU both run as one matrix product.
    x: (N, C, H, W) -> the same shape.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        channel = torch.arange(x.shape[1], device=x.device)
        window = ((channel[:, None] - channel[None, :]).abs() <= self.size // 2).to(x.dtype)
        energy = F.conv2d(x * x, window[:, :, None, None])
        return x * (1 + self.alpha / self.size * energy) ** -self.beta

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}"
