"""Repetition of patches in an image: the highest peak of its autocorrelation away from the centre."""

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 16
"""Images are averaged to 16 x 16: generators that were trained briefly leave a lattice of dots, which repeats too."""
NEAR = 8
"""Shifts of less than 1/8 of a side are left out: every smooth image resembles itself shifted by a little."""


def repetition(images: Tensor) -> Tensor:
    """Returns how much each image repeats itself, (N,): 1 for an image that is periodic, about 0 for noise.

    The autocorrelation of the image's coarse edges (its luminance, averaged over a grid and high-passed by its four
    neighbours) over all cyclic shifts, relative to that at shift 0; the highest value at shifts of at least 1/8 of a
    side in either direction.

    Args:
        images: (N, 3, H, W) in image space.
    """
    luminance = F.adaptive_avg_pool2d(images.float().cpu(), GRID).mean(1)
    around = sum(luminance.roll(shift, axis) for axis in (1, 2) for shift in (-1, 1))
    edges = luminance - around / 4
    edges = edges - edges.mean((1, 2), keepdim=True)
    spectrum = torch.fft.rfft2(edges)
    correlation = torch.fft.irfft2(spectrum.abs().square(), s=luminance.shape[-2:])
    correlation = correlation / correlation[:, :1, :1].clamp(min=1e-12)
    height, width = luminance.shape[-2:]
    rows, columns = (torch.minimum(torch.arange(side), side - torch.arange(side)) for side in (height, width))
    far = (rows[:, None] >= height // NEAR) | (columns[None] >= width // NEAR)
    return correlation[:, far].amax(1)
