"""Augmentation of a batch of images on its device. Each image is transformed independently."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class Augmentation:
    """Random rotation, scale, shift, mirroring, blur, color changes and erasing of a classifier's training images.

    All random numbers are drawn from torch's global generator. Pixels from outside the image are reflected.

    Args:
        rotation: Largest rotation in degrees, in either direction.
        scale: Sides are multiplied by a factor from 1 / (1 + scale) to 1 + scale.
        shift: Largest shift, as a fraction of a side.
        mirror: Mirrors half of the images.
        blur: Largest standard deviation in pixels; an image is blended at random with its blurred version.
        light: Each color channel is multiplied by a factor from 1 - light to 1 + light, and an offset from
            -light / 2 to light / 2 is added.
        erase: Side of a square at a random place, as a fraction of the image's, that is replaced by grey (cutout,
            DeVries & Taylor 2017). At the border, part of it lies outside.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    mirror: bool = False
    blur: float = 0.0
    light: float = 0.0
    erase: float = 0.0

    @full_precision
    def __call__(self, images: Tensor) -> Tensor:
        """Maps images (N, 3, H, W) in image space to augmented images of the same shape, in [0, 1]."""
        if self.rotation or self.scale or self.shift or self.mirror:
            images = self._moved(images)
        if self.blur:
            share = torch.rand(len(images), 1, 1, 1, device=images.device)
            images = torch.lerp(images, blurred(images, self.blur), share)
        if self.light:
            gain = 1 + self._uniform(images, self.light, (*images.shape[:2], 1, 1))
            images = images * gain + self._uniform(images, self.light / 2, (*images.shape[:2], 1, 1))
        if self.erase:
            images = images.masked_fill(self._square(images), 0.5)
        return images.clamp(0, 1).contiguous(memory_format=torch.channels_last)

    def _moved(self, images: Tensor) -> Tensor:
        count = len(images)
        angle = torch.deg2rad(self._uniform(images, self.rotation, (count,)))
        size = torch.exp(self._uniform(images, torch.log1p(torch.tensor(self.scale)).item(), (count,)))
        sign = torch.ones(count, device=images.device)
        if self.mirror:
            sign = torch.where(torch.rand(count, device=images.device) < 0.5, -sign, sign)
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        # affine_grid's coordinates run from -1 to 1: a side is 2.
        across, down = (2 * self._uniform(images, self.shift, (count,)) for _ in range(2))
        rows = [torch.stack([cos * sign, -sin, across], 1), torch.stack([sin * sign, cos, down], 1)]
        grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _square(self, images: Tensor) -> Tensor:
        """Returns where a square of each image lies (N, 1, H, W); its centre is uniform over the pixels."""
        inside = []
        for side in images.shape[-2:]:
            places = torch.arange(side, device=images.device)
            length = round(self.erase * side)
            first = torch.randint(side, (len(images), 1), device=images.device) - length // 2
            inside.append((places >= first) & (places < first + length))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]

    @staticmethod
    def _uniform(images: Tensor, reach: float, shape: tuple[int, ...]) -> Tensor:
        return (2 * torch.rand(shape, device=images.device) - 1) * reach


@full_precision
def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blurs images (N, C, H, W) with a Gaussian of standard deviation `sigma` pixels; borders are replicated."""
    reach = max(1, round(3 * sigma))
    places = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-places.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=images.shape[1])
    return F.conv2d(across, kernel[:, :, :, None], groups=images.shape[1])
