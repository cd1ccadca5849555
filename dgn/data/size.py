"""Sizes of images: one number for squares, height and width for others."""

import math
from collections.abc import Sequence
from typing import Any

from dgn.errors import UserError

ImageSize = int | tuple[int, int]
"""The side of square images in pixels, or height and width."""


def image_size(value: Any, key: str = "data.image_size") -> ImageSize:
    """Returns a size as one number where height and width are equal, else as (height, width).

    Args:
        value: A number, or height and width.
        key: What the user has named it by, for messages.

    Raises:
        UserError: If it is neither.
    """
    numbers = [value] if isinstance(value, int) else list(value) if isinstance(value, Sequence) else []
    whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in numbers)
    if not whole or len(numbers) not in (1, 2) or isinstance(value, str):
        raise UserError(f"{key}={value}: give one side in pixels, or height and width, as in {key}=[48,64]")
    return numbers[0] if len(set(numbers)) == 1 else (numbers[0], numbers[1])


def sides(size: ImageSize) -> tuple[int, int]:
    """Returns height and width in pixels."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def scaled(size: ImageSize, short_side: int) -> tuple[int, int]:
    """Returns height and width of the same shape with another short side, in pixels."""
    height, width = sides(size)
    short = min(height, width)
    return round(height * short_side / short), round(width * short_side / short)


def doublings(size: ImageSize, ups: int) -> tuple[int, int]:
    """Returns the smallest height and width from which that many doublings reach the size."""
    height, width = sides(size)
    return math.ceil(height / 2**ups), math.ceil(width / 2**ups)


def typed(size: ImageSize) -> str:
    """Writes a size as the value of `data.image_size=` on a command line: `64`, or `[48,64]`."""
    return str(size) if isinstance(size, int) else f"[{size[0]},{size[1]}]"


def written(size: ImageSize) -> str:
    """Writes a size: `64` for a square, else `48x64` (height x width)."""
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
