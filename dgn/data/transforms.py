"""Transforms of images before they enter a network: scaling, then a square crop."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from dgn.errors import UserError


class Transform(Protocol):
    """Converts an image, uint8 (3, H, W), to (3, image_size, image_size). generator: None uses torch's."""

    image_size: int
    resize: int
    square: bool

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor: ...


# Dosovitskiy & Brox (2016) cut 227 x 227 out of ImageNet pictures at the scale of Caffe's recipe, 256.
PAPER_RATIO = 256 / 227

# A strip of 1 x 10000 pixels scaled by its short side would take gigabytes.
_LONGEST = 8


class TrainTransform:
    """The paper's augmentation: scale to `resize`, cut a random square of `image_size`, mirror half of them.

    Called with an image, uint8 (3, H, W), and a random generator, it returns uint8 (3, image_size, image_size),
    possibly a view. The same generator state gives the same pixels. Scaling is bilinear and antialiased. Of an image
    more than eight times as long as wide, the middle is used.

    Args:
        image_size: Side of the crop in pixels.
        resize: The short side after scaling, in pixels; None: image_size * 256 / 227, the paper's ratio.
        mirror: Whether to mirror half of the images.
        square: Whether to scale to resize x resize, whatever the aspect ratio.

    Raises:
        UserError: If `resize` is less than `image_size`.
    """

    def __init__(self, image_size: int, resize: int | None = None, mirror: bool = True, square: bool = False) -> None:
        self.image_size = image_size
        self.resize = _resize(image_size, resize)
        self.mirror = mirror
        self.square = square

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        generator = generator or _torchs_generator()
        image = _scaled(image, self.resize, self.square)
        height, width = image.shape[-2:]
        top = generator.integers(height - self.image_size + 1)
        left = generator.integers(width - self.image_size + 1)
        # Drawn with or without `mirror`, so that turning it off leaves the crops where they were.
        mirrored = generator.random() < 0.5
        image = image[:, top : top + self.image_size, left : left + self.image_size]
        return image.flip(-1) if self.mirror and mirrored else image


class EvalTransform:
    """The scale of TrainTransform and the center crop; ignores the generator."""

    def __init__(self, image_size: int, resize: int | None = None, square: bool = False) -> None:
        self.image_size = image_size
        self.resize = _resize(image_size, resize)
        self.square = square

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        return _middle(_scaled(image, self.resize, self.square), self.image_size, self.image_size)


def generator_for(transform: Transform) -> np.random.Generator | None:
    """A generator seeded by torch's global one, or None for an EvalTransform, which draws nothing."""
    if isinstance(transform, EvalTransform):
        return None
    return _torchs_generator()


def _torchs_generator() -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**63 - 1, ())))


def _resize(image_size: int, resize: int | None) -> int:
    if image_size < 1:
        raise UserError(f"image_size {image_size} must be at least 1")
    if resize is None:
        return round(image_size * PAPER_RATIO)
    if resize < image_size:
        raise UserError(
            f"resize {resize} is smaller than the crop, image_size {image_size}; give resize >= {image_size}"
        )
    return resize


def _scaled(image: Tensor, resize: int, square: bool) -> Tensor:
    if square:
        return functional.resize(image, [resize, resize], antialias=True)
    longest = _LONGEST * min(image.shape[-2:])
    return functional.resize(_middle(image, longest, longest), [resize], antialias=True)


def _middle(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of an image, at most `height` by `width` of it."""
    top = max(image.shape[-2] - height, 0) // 2
    left = max(image.shape[-1] - width, 0) // 2
    return image[:, top : top + height, left : left + width]
