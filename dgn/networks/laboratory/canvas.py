"""How images are presented: grey, at a size and a place on a background, with a bound on their contrast."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.display import as_rgb
from dgn.errors import UserError

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


@dataclass(frozen=True)
class Canvas:
    """How images are presented.

    Attributes:
        size: height and width of the canvas in pixels, or one number for both; None: the image alone.
        image: side of the images on it in pixels, the longer one of those that are no squares; None: as they are.
        place: (row, column) of the image's centre on the canvas, as fractions of its sides.
        background: the value of the canvas around the image, in [0, 1].
        grey: whether images are shown in grey.
        contrast: the largest standard deviation of an image's luminance, in [0, 1]; images above it are drawn towards
            their mean colour. None: no bound.

    Raises:
        UserError: for a value that cannot be.
    """

    size: int | Sequence[int] | None = None
    image: int | None = None
    place: Sequence[float] = (0.5, 0.5)
    background: float = 0.5
    grey: bool = False
    contrast: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.sides) != 2 or min(self.sides) < 1):
            raise UserError(f"canvas.size={self.size}: give a side in pixels, or [height, width]")
        if self.image is not None and self.image < 1:
            raise UserError(f"canvas.image={self.image}: give the side of the images in pixels")
        if len(self.place) != 2 or not all(0 <= at <= 1 for at in self.place):
            raise UserError(f"canvas.place={self.place}: give [row, column] of the centre, as fractions: [0.5, 0.5]")
        if not 0 <= self.background <= 1:
            raise UserError(f"canvas.background={self.background}: give a value from 0 (black) to 1 (white)")
        if self.contrast is not None and not 0 < self.contrast <= 1:
            raise UserError(f"canvas.contrast={self.contrast}: give a standard deviation above 0, at most 1, or null")

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width of the canvas; (0, 0) if there is none."""
        if self.size is None:
            return (0, 0)
        return (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)

    def show(self, images: Tensor) -> Tensor:
        """Returns what is presented of images (N, C, h, w) in [0, 1], as they are shown: (N, 3, H, W)."""
        images = as_rgb(images)
        if self.grey:
            images = _luminance(images).expand_as(images)
        if self.image is not None:
            longer = max(images.shape[2:])
            sides = [max(1, round(side * self.image / longer)) for side in images.shape[2:]]
            images = F.interpolate(images, sides, mode="bilinear", antialias=True).clamp(0, 1)
        if self.contrast is not None:
            deviation = _luminance(images).flatten(1).std(1, correction=0).clamp_min(1e-8)
            factor = (self.contrast / deviation).clamp_max(1).view(-1, 1, 1, 1)
            mean = images.mean((2, 3), keepdim=True)
            images = mean + factor * (images - mean)
        return self._placed(images) if self.size is not None else images

    def _placed(self, images: Tensor) -> Tensor:
        """Lays images on the canvas; what would be outside is cut off."""
        height, width = self.sides
        canvas = images.new_full((len(images), images.shape[1], height, width), self.background)
        rows = _overlap(self.place[0], height, images.shape[2])
        columns = _overlap(self.place[1], width, images.shape[3])
        canvas[:, :, rows[0], columns[0]] = images[:, :, rows[1], columns[1]]
        return canvas


def _overlap(place: float, side: int, length: int) -> tuple[slice, slice]:
    """Returns which pixels of the canvas an image covers along one axis, and which of its own these are."""
    first = round(place * side - length / 2)
    start, end = max(0, first), min(side, first + length)
    end = max(start, end)
    return slice(start, end), slice(start - first, end - first)


def _luminance(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMINANCE, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)
