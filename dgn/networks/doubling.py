"""Doubling: a map's side doubled by repeating pixels, then a 3x3 convolution, computed as one upconvolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Doubling(nn.Module):
    """(N, in, H, W) -> (N, out, 2H, 2W): nearest-neighbour doubling and a 3x3 convolution of padding 1, no bias
    (Odena et al. 2016, "Deconvolution and checkerboard artifacts").

    A repeated pixel meets up to four taps of the convolution. With these added up beforehand the two are a 4x4
    upconvolution of stride 2, which costs 4 products an output pixel where the convolution of the doubled map costs 9.
    weight: (out, in, 3, 3), the convolution's.
    """

    bias = None

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        sums = F.avg_pool2d(self.weight, 2, stride=1, padding=1, divisor_override=1)  # of 2x2 taps: (out, in, 4, 4)
        taps = sums.flip(2, 3).transpose(0, 1)  # an upconvolution scatters where a convolution gathers
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            taps = taps.contiguous(memory_format=torch.channels_last)  # which the map then follows
        return F.conv_transpose2d(x, taps, stride=2, padding=1)
