"""Transforms of images before they enter a network: scaling, then a crop.

No image is enlarged to be cropped. Of an image whose short side is less than `resize`, crops come from the image with a
reflected border; an image smaller than the crop is enlarged to it, once.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dgn.data.size import ImageSize, scaled, sides
from dgn.errors import UserError


class Transform(Protocol):
    """Converts an image, uint8 (C, H, W), to a crop (C, *sides). generator: None uses torch's.

    Attributes:
        image_size: Side of the crop in pixels, or (height, width).
        sides: Height and width of the crop.
        resize: The short side to which larger images are scaled.
        extent: Height and width that scaled images cover, from which the crop is cut: `sides` enlarged to the short
            side `resize`.
        square: Whether images are scaled to `extent`, whatever their aspect ratio.
    """

    image_size: ImageSize
    sides: tuple[int, int]
    resize: int
    extent: tuple[int, int]
    square: bool

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor: ...

    def evaluation(self) -> "EvalTransform":
        """The same without augmentation."""
        ...


# Dosovitskiy & Brox (2016) cut 227 x 227 out of ImageNet pictures at the scale of Caffe's recipe, 256.
PAPER_RATIO = 256 / 227

# A strip of 1 x 10000 pixels scaled by its short side would take gigabytes.
_LONGEST = 8


class TrainTransform:
    """The paper's augmentation: scale to `resize`, cut a random crop of `image_size`, mirror half of them.

    Called with an image, uint8 (C, H, W), and a random generator, it returns uint8 (C, *sides), possibly a view. The
    same generator state gives the same pixels. Scaling is bilinear and antialiased. Of an image more than eight times
    as long as wide, the middle is used.

    Args:
        image_size: Side of the crop in pixels, or (height, width).
        resize: The short side to which larger images are scaled, in pixels; None: image_size * 256 / 227, the paper's
            ratio. Images with a shorter side keep their size (those below image_size are enlarged to image_size), and
            are extended to `resize` by reflection. For crops that are no squares, images are scaled to cover `extent`.
        mirror: Whether to mirror half of the images.
        square: Whether to scale to a square (to `extent`), whatever the aspect ratio.

    Raises:
        UserError: If `resize` is less than `image_size`.
    """

    def __init__(
        self, image_size: ImageSize, resize: int | None = None, mirror: bool = True, square: bool = False
    ) -> None:
        self.image_size, self.sides = image_size, sides(image_size)
        self.resize = _resize(image_size, resize)
        _resampler()
        self.extent = scaled(image_size, self.resize)
        self.mirror = mirror
        self.square = square

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        generator = generator or _torchs_generator()
        image = _scaled_with_border(image, self)
        height, width = image.shape[-2:]
        top = generator.integers(height - self.sides[0] + 1)
        left = generator.integers(width - self.sides[1] + 1)
        # Drawn with or without `mirror`, so that turning it off leaves the crops where they were.
        mirrored = generator.random() < 0.5
        image = image[:, top : top + self.sides[0], left : left + self.sides[1]]
        return image.flip(-1) if self.mirror and mirrored else image

    def evaluation(self) -> "EvalTransform":
        return EvalTransform(self.image_size, self.resize, self.square)


class EvalTransform:
    """The scale of TrainTransform and the center crop; ignores the generator.

    Of an image of the crop's size, that is the image itself.
    """

    def __init__(self, image_size: ImageSize, resize: int | None = None, square: bool = False) -> None:
        self.image_size, self.sides = image_size, sides(image_size)
        self.resize = _resize(image_size, resize)
        _resampler()
        self.extent = scaled(image_size, self.resize)
        self.square = square

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        return _middle(_scaled_with_border(image, self), *self.sides)

    def evaluation(self) -> "EvalTransform":
        return self


class StoredTransform(EvalTransform):
    """What a cache stores of an image: `extent`, with its border, from which the crops are cut."""

    def __call__(self, image: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        return _middle(_scaled_with_border(image, self), *self.extent)


def generator_for(transform: Transform) -> np.random.Generator | None:
    """A generator seeded by torch's global one, or None for an EvalTransform, which draws nothing."""
    if isinstance(transform, EvalTransform):
        return None
    return _torchs_generator()


def _torchs_generator() -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**63 - 1, ())))


def _resampler() -> Callable[..., Tensor]:
    """Returns the resize of torchvision, which takes seconds to import.

    The first transform imports it, before data workers start, each of which would import it again.
    """
    from torchvision.transforms.v2.functional import resize

    return resize


def _resize(image_size: ImageSize, resize: int | None) -> int:
    side = min(sides(image_size))
    if side < 1:
        raise UserError(f"image_size {image_size} must be at least 1")
    if resize is None:
        return round(side * PAPER_RATIO)
    if resize < side:
        raise UserError(f"resize {resize} is smaller than the crop, image_size {image_size}; give resize >= {side}")
    return resize


def scaled_sides(height: int, width: int, transform: Transform) -> tuple[int, int]:
    """Returns height and width that an image is scaled to, in pixels, before a border is added where it is too small.

    Of its two sides, the one that is shorter in relation to the transform's extent is the extent's or, in a smaller
    image, its own, but at least the crop's.
    """
    rows, columns = transform.extent
    if height * columns <= width * rows:
        new = min(max(height, transform.sides[0]), rows)
        # Rounded as torchvision does.
        return new, round(new * columns / rows) if transform.square else int(new * width / height)
    new = min(max(width, transform.sides[1]), columns)
    return round(new * rows / columns) if transform.square else int(new * height / width), new


def _scaled_with_border(image: Tensor, transform: Transform) -> Tensor:
    """The image from which crops are cut: it covers at least transform.extent."""
    if not transform.square:
        longest = _LONGEST * min(image.shape[-2:])
        image = _middle(image, longest, longest)
    height, width = scaled_sides(image.shape[-2], image.shape[-1], transform)
    image = _resampler()(image, [height, width], antialias=True)
    for axis, wanted in ((-2, transform.extent[0]), (-1, transform.extent[1])):
        if image.shape[axis] < wanted:
            image = image.index_select(axis, _reflected(image.shape[axis], wanted))
    return image


def _reflected(side: int, wanted: int) -> Tensor:
    """The indices of a side of `side` pixels that is extended to `wanted` by reflection, int64 (wanted,)."""
    period = max(2 * (side - 1), 1)
    places = (torch.arange(wanted) - (wanted - side) // 2) % period
    return torch.minimum(places, period - places) if side > 1 else torch.zeros_like(places)


def _middle(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of an image, at most `height` by `width` of it."""
    top = max(image.shape[-2] - height, 0) // 2
    left = max(image.shape[-1] - width, 0) // 2
    return image[:, top : top + height, left : left + width]
