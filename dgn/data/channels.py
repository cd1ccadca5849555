"""Channels of images: their number in words, and the conversion between grey and RGB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.errors import UserError

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601, as Pillow's)."""

_NAMES = {1: "1 channel (grey)", 3: "3 channels (RGB)"}
_INTEGER_LUMINANCE = (19595, 38470, 7471)  # of 65536, as Pillow computes it


@dataclass(frozen=True)
class ReadForm:
    """What image files are read as.

    Attributes:
        channels: The number of channels; None: RGB, of pictures alone. With a number, 3 too, arrays (.npy, .npz) are
            images as pictures are.
        values: The files' values of black and white; None: those of their type.

    Raises:
        UserError: If a value is invalid.
    """

    channels: int | None = None
    values: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_channels(self.channels)
        if self.values is None:
            return
        numbers = [value for value in self.values if isinstance(value, int | float)]
        if len(numbers) != 2 or len(self.values) != 2 or not numbers[0] < numbers[1]:
            raise UserError(f"data.values={list(self.values)}: give the values of black and white, as in [0,10000]")
        if self.channels is None:
            raise UserError(f"data.values={list(self.values)} goes with a number of channels: give data.channels= too")
        object.__setattr__(self, "values", tuple(numbers))


def in_words(count: int) -> str:
    """Returns a number of channels in words: `1 channel (grey)`, `3 channels (RGB)`, `5 channels`."""
    return _NAMES.get(count, f"{count} channels")


def check_channels(channels: Any, key: str = "data.channels") -> None:
    """Raises UserError if `channels` is neither None nor a number of channels."""
    if channels is not None and (not isinstance(channels, int) or isinstance(channels, bool) or channels < 1):
        raise UserError(f"{key}={channels}: give a number of channels, as in {key}=1 for grey, or null for RGB")


def luminance(images: Tensor) -> Tensor:
    """Returns the luminance (N, 1, H, W) of RGB images (N, 3, H, W); images of one channel are unchanged."""
    if images.shape[1] == 1:
        return images
    weights = torch.cat([images.new_full((1, 1, 1), weight) for weight in LUMINANCE])
    return (images * weights).sum(1, keepdim=True)


def with_channels(images: Tensor, channels: int, what: str) -> Tensor:
    """Returns decoded images, uint8 (N, C, H, W), with another number of channels.

    Grey becomes RGB by repetition, and RGB grey by its luminance, as Pillow computes it.

    Args:
        images: The images.
        channels: The number of channels that is wanted.
        what: Names the images in the message.

    Raises:
        UserError: For any other conversion.
    """
    given = images.shape[1]
    if given == channels:
        return images
    if (given, channels) == (1, 3):
        return images.expand(-1, 3, -1, -1).contiguous()
    if (given, channels) == (3, 1):
        weights = torch.tensor(_INTEGER_LUMINANCE).view(1, 3, 1, 1)
        return torch.cat([((part.int() * weights).sum(1, True) + 0x8000 >> 16).byte() for part in images.split(1024)])
    raise UserError(
        f"{what} has {in_words(given)}, and data.channels={channels} asks for {channels}; set data.channels={given}"
    )


RGB = ReadForm()
"""Pictures as RGB, the default."""
