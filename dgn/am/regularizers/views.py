"""Views: random transformations of the image that the target is shown at each step.

A pattern that excites the unit in all views does not depend on one position, angle and size (Olah et al. 2017,
"transformation robustness"). Amounts in pixels are for an image of 224 pixels, and scale with the image. Random
numbers are drawn for each search separately.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.step import Step

GREY = 0.5
"""The value of pixels outside an image, as in Lucid."""


class Jitter:
    """A uniformly random vertical and horizontal shift.

    Args:
        pixels: the range of the shift, from -pixels / 2 to pixels / 2.
        edges: "grey" pads the image with grey, "repeat" with its last rows and columns.
    """

    def __init__(self, pixels: float = 8, edges: str = "grey") -> None:
        self.pixels, self.edges = pixels, edges

    def view(self, images: Tensor, step: Step) -> Tensor:
        height, width = images.shape[2:]
        reach = max(1, round(self.pixels * max(height, width) / 224))
        shifts = (step.draws.uniform(2) * (reach + 1)).long()
        mode = dict(mode="constant", value=GREY) if self.edges == "grey" else dict(mode="replicate")
        before, after = reach // 2, reach - reach // 2
        padded = F.pad(images, (before, after, before, after), **mode)
        return window(padded, shifts[:, 0], shifts[:, 1], height, width)


class Rotate:
    """A random rotation by -degrees .. degrees."""

    def __init__(self, degrees: float = 10) -> None:
        self.degrees = degrees

    def view(self, images: Tensor, step: Step) -> Tensor:
        angles = math.radians(self.degrees) * (2 * step.draws.uniform() - 1)
        cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
        aspect = images.shape[2] / images.shape[3]  # affine_grid's coordinates are in half widths and half heights
        rows = [torch.stack([cos, -sin * aspect, zero], 1), torch.stack([sin / aspect, cos, zero], 1)]
        return _sampled(images, torch.stack(rows, 1))


class Scale:
    """A random enlargement about the centre, by a factor of low .. high."""

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        self.low, self.high = low, high

    def view(self, images: Tensor, step: Step) -> Tensor:
        factors = self.low + (self.high - self.low) * step.draws.uniform()
        zero, inverse = torch.zeros_like(factors), 1 / factors
        rows = [torch.stack([inverse, zero, zero], 1), torch.stack([zero, inverse, zero], 1)]
        return _sampled(images, torch.stack(rows, 1))


class CentredWindow:
    """A random window near the centre of an enlarged image: MFV's centre bias (Nguyen et al. 2016).

    The window's sides are 1 / scale of the image's. Its offset from the centre is N(0, (spread * remainder)^2), where
    the remainder is the difference between the sides of image and window; the window is kept inside the image. Pixels
    outside the window get no gradient.

    Args:
        scale: the image's sides divided by the window's.
        spread: the standard deviation of the offset, relative to the remainder.
        margin: pixels at the window's edges that get no gradient either.
    """

    def __init__(self, scale: float, spread: float = 0.3, margin: float = 0.0) -> None:
        self.scale, self.spread, self.margin = scale, spread, margin

    def view(self, images: Tensor, step: Step) -> Tensor:
        height, width = (round(side / self.scale) for side in images.shape[2:])
        left_over = torch.tensor([images.shape[2] - height, images.shape[3] - width], device=images.device)
        corners = left_over / 2 + self.spread * left_over * step.draws.normal(2)
        corners = torch.minimum(corners.clamp_min(0).long(), left_over)
        shown = window(images, corners[:, 0], corners[:, 1], height, width)
        margin = round(self.margin * max(height, width) / 224)
        if not margin:
            return shown
        inner = F.pad(torch.ones_like(shown[:, :, margin:-margin, margin:-margin]), (margin,) * 4)
        return shown * inner + shown.detach() * (1 - inner)


class Crops:
    """Random square crops of each image, as in MACO (Fel et al. 2023; sizes and spread from the authors' code).

    Crops are centred at N(0.5, 0.15^2) of the image's sides. Their side, as a fraction of the image's, changes from
    `first` to `last` over the search, plus N(0, 0.05^2).

    Args:
        count: crops of each image.
        first: the mean side at the first step.
        last: the mean side at the last step.
    """

    def __init__(self, count: int = 32, first: float = 0.5, last: float = 0.05) -> None:
        self.count, self.first, self.last = count, first, last

    def view(self, images: Tensor, step: Step) -> Tensor:
        mean = self.first + (self.last - self.first) * step.progress
        drawn = step.draws.normal(self.count, 3).transpose(0, 1)  # crops, images, 3
        sides = (mean + 0.05 * drawn[..., 2]).clamp(0.05, 1.0)
        centres = 0.5 + 0.15 * drawn[..., :2]
        centres = torch.maximum(torch.minimum(centres, 1 - sides[..., None] / 2), sides[..., None] / 2)
        across = 2 * centres - 1
        zero = torch.zeros_like(sides)
        rows = [torch.stack([sides, zero, across[..., 1]], -1), torch.stack([zero, sides, across[..., 0]], -1)]
        matrices = torch.stack(rows, -2).flatten(0, 1)
        size = [max(8, round(side * mean)) for side in images.shape[2:]]
        return _sampled(images.repeat(self.count, 1, 1, 1), matrices, size)


class Noise:
    """Adds normal noise of standard deviation `std` and uniform noise of width `std`, on 0..1 (MACO)."""

    def __init__(self, std: float = 0.08) -> None:
        self.std = std

    def view(self, images: Tensor, step: Step) -> Tensor:
        count = len(images) // len(step.images)  # pictures of each image
        shape = (count, *images.shape[1:])
        noise = step.draws.normal(*shape) + step.draws.uniform(*shape) - 0.5
        return images + self.std * noise.transpose(0, 1).flatten(0, 1)


def window(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Returns a window of each image, (N, C, height, width), that starts at row top[n] and column left[n].

    Args:
        images: (N, C, H, W).
        top: (N,), the first row of each window.
        left: (N,), the first column of each window.
        height: the window's height.
        width: the window's width.
    """
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    count, channels = images.shape[:2]
    bands = images.gather(2, rows[:, None, :, None].expand(count, channels, height, images.shape[3]))
    return bands.gather(3, columns[:, None, None, :].expand(count, channels, height, width))


def _sampled(images: Tensor, matrices: Tensor, size: list[int] | None = None) -> Tensor:
    """Samples each image under its affine matrix, (N, 2, 3), bilinear; grey outside the image."""
    grid = F.affine_grid(matrices, [len(images), images.shape[1], *(size or images.shape[2:])], align_corners=False)
    return F.grid_sample(images - GREY, grid, mode="bilinear", align_corners=False) + GREY
