"""Real images beside preferred ones: whole, cropped to a receptive field, and with what a unit ignores dimmed."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import write_whole
from dgn.report.contents import Box, RealImage


@dataclass(frozen=True)
class Shown:
    """A real image as files: paths from the run folder. crop, masked: "" where there is no box, no mask.
    field: the box in percent of the picture: left, top, width, height."""

    given: RealImage
    path: str
    crop: str
    masked: str
    field: tuple[float, float, float, float] | None
    ratio: float


class RealImages:
    """Writes real images into `folder`/real, each once however often it is shown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def show(self, given: RealImage) -> Shown:
        image = given.image.detach().float().clamp(0, 1).cpu()
        box = clipped(given.box, image)
        crop = self.write(cropped(image, box)) if box else ""
        masked = self.write(cropped(dimmed(image, given.mask), box)) if given.mask is not None else ""
        return Shown(given, self.write(image), crop, masked, field(box, image), image.shape[1] / image.shape[2])

    def write(self, image: Tensor) -> str:
        """Writes float (3, H, W) under the name of its content; returns the path from the run folder."""
        (picture,) = pictures(image[None])
        digest = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()[:16]
        path = f"real/{digest}.png"
        if not (self._folder / path).is_file():
            write_whole(self._folder / path, png(picture))
        return path


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def clipped(box: Box | None, image: Tensor) -> Box | None:
    """The part of a box that is inside of an image (3, H, W); None where there is none."""
    if box is None:
        return None
    height, width = image.shape[-2:]
    left, top, right, bottom = (round(float(side)) for side in box)
    left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
    return (left, top, right, bottom) if right > left and bottom > top else None


def cropped(image: Tensor, box: Box | None) -> Tensor:
    if box is None:
        return image
    left, top, right, bottom = box
    return image[:, top:bottom, left:right]


def field(box: Box | None, image: Tensor) -> tuple[float, float, float, float] | None:
    """A box in percent of its image: left, top, width, height; None for one that is the whole image."""
    height, width = image.shape[-2:]
    if box is None or box == (0, 0, width, height):
        return None
    left, top, right, bottom = box
    across, down = 100 / width, 100 / height
    return (
        round(left * across, 2),
        round(top * down, 2),
        round((right - left) * across, 2),
        round((bottom - top) * down, 2),
    )


def dimmed(image: Tensor, mask: Tensor) -> Tensor:
    """image (3, H, W) with what mask (H', W'), 0 .. 1, leaves out gray and dark."""
    mask = mask.detach().float().clamp(0, 1).cpu()[None, None]
    if mask.shape[-2:] != image.shape[-2:]:
        mask = F.interpolate(mask, image.shape[-2:], mode="bilinear", antialias=True)
    gray = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1).mul(image).sum(0, keepdim=True).expand_as(image)
    return mask[0] * image + (1 - mask[0]) * (0.3 * gray + 0.1)
