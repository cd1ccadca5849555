"""Doubling: nearest-neighbour or bilinear upsampling by 2 and a 3x3 convolution, computed as one upconvolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Doubling(nn.Module):
    """(N, in, H, W) -> (N, out, 2H, 2W): nearest-neighbour doubling and a 3x3 convolution of padding 1, no bias.

    The layer is that of Odena et al. 2016, "Deconvolution and checkerboard artifacts".

    A repeated pixel is multiplied by up to four taps of the convolution. With these taps summed in advance, the two
    operations are one 4x4 upconvolution of stride 2, which costs 4 products per output pixel instead of the 9 of a
    convolution of the doubled map.

    Args:
        in_channels, out_channels: Number of channels.
        smooth: Bilinear doubling instead: that is nearest-neighbour doubling and a blur. The blur commutes with the
            convolution, and follows it here, where maps have fewer channels. (At the border, where the convolution pads
            with zeros and the blur repeats the edge, the two orders differ.)

    Attributes:
        weight: (out, in, 3, 3), the weight of the convolution.
    """

    bias = None
    sums: Tensor
    blur: Tensor

    def __init__(self, in_channels: int, out_channels: int, smooth: bool = False) -> None:
        super().__init__()
        self.smooth = smooth
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.register_buffer("sums", torch.kron(_SUMS, _SUMS).T.contiguous(), persistent=False)
        self.register_buffer("blur", (_BLUR[:, None] * _BLUR).expand(out_channels, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, self._taps(), stride=2, padding=1)
        if not self.smooth:
            return x
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.blur.to(x.dtype), groups=x.shape[1])

    def halved(self, x: Tensor) -> Tensor:
        """The means of 2x2 pixels of `forward`: (N, in, H, W) -> (N, out, H, W)."""
        return F.avg_pool2d(self(x), 2) if self.smooth else half_upconvolution(x, self._taps())

    def _taps(self) -> Tensor:
        """The weight of the upconvolution, (in, out, 4, 4)."""
        out_channels, in_channels = self.weight.shape[:2]
        weight = self.weight.permute(1, 2, 3, 0).reshape(in_channels, 9, out_channels)
        return (self.sums @ weight).view(in_channels, 4, 4, out_channels).permute(0, 3, 1, 2)


def half_upconvolution(x: Tensor, weight: Tensor) -> Tensor:
    """The means of 2x2 pixels of a 4x4 upconvolution (stride 2, padding 1, no bias), as one 3x3 convolution of x.

    Args:
        x: (N, in, H, W).
        weight: (in, out, 4, 4).

    Returns:
        (N, out, H, W).
    """
    means = _MEANS.to(weight)
    return F.conv2d(x, (means @ weight @ means.T).transpose(0, 1), padding=1)


_SUMS = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
"""Along one axis: which of the convolution's three taps are summed for each of the upconvolution's four taps. The order
is reversed, because an upconvolution scatters and a convolution gathers."""

_MEANS = torch.tensor([[0.0, 0.0, 0.0, 0.5], [0.0, 0.5, 0.5, 0.0], [0.5, 0.0, 0.0, 0.0]])
"""Along one axis: which of the upconvolution's four taps are summed for each tap of the convolution that gives means of
two pixels."""

_BLUR = torch.tensor([0.25, 0.5, 0.25])
"""Along one axis: a doubled map's pixels, averaged with their neighbours, are the bilinear map's."""
