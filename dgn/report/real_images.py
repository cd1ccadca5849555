"""Real images shown with preferred ones: whole, cropped to a receptive field, and masked to what excites the unit."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dgn.data.display import as_rgb
from dgn.data.images import pictures
from dgn.files import write_whole
from dgn.report.contents import Box, RealImage
from dgn.report.heat import as_picture


@dataclass(frozen=True)
class Shown:
    """A real image as files, with paths relative to the run folder.

    Attributes:
        source: the real image.
        path: the whole image.
        crop: the image cropped to its box; "" without a box.
        masked: the masked image; "" without a mask.
        deconvolution: what in its box excites the unit; "" if there is none.
        field: the box in percent of the picture: left, top, width, height.
        ratio: height divided by width.
    """

    source: RealImage
    path: str
    crop: str
    masked: str
    field: tuple[float, float, float, float] | None
    ratio: float
    deconvolution: str = ""


class RealImages:
    """Writes real images into `folder`/real, each only once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def show(self, real: RealImage) -> Shown:
        image = real.image.detach().float().clamp(0, 1).cpu()
        box = clipped(real.box, image)
        crop = self.write(cropped(image, box)) if box else ""
        masked = self.write(cropped(dimmed(image, real.mask), box)) if real.mask is not None else ""
        deconvolution = ""
        if real.deconvolution is not None:
            deconvolution = self.write(as_picture(cropped(real.deconvolution.detach().float().cpu(), box)))
        ratio = image.shape[1] / image.shape[2]
        return Shown(real, self.write(image), crop, masked, field(box, image), ratio, deconvolution)

    def write(self, image: Tensor, folder: str = "real") -> str:
        """Writes an image, float (3, H, W), named by a hash of its content; returns the path from the run folder."""
        (picture,) = pictures(image[None])
        digest = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()[:16]
        path = f"{folder}/{digest}.png"
        if not (self._folder / path).is_file():
            write_whole(self._folder / path, png(picture))
        return path


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def clipped(box: Box | None, image: Tensor) -> Box | None:
    """Returns the part of a box inside an image (3, H, W); None if there is none."""
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
    """Returns a box in percent of its image (left, top, width, height); None if it is the whole image."""
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
    """Returns image (C, H, W), as it is shown, with the parts outside the mask (H', W'), 0 .. 1, grey and dark."""
    image = as_rgb(image[None])[0]
    mask = mask.detach().float().clamp(0, 1).cpu()[None, None]
    if mask.shape[-2:] != image.shape[-2:]:
        mask = F.interpolate(mask, image.shape[-2:], mode="bilinear", antialias=True)
    gray = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1).mul(image).sum(0, keepdim=True).expand_as(image)
    return mask[0] * image + (1 - mask[0]) * (0.3 * gray + 0.1)
