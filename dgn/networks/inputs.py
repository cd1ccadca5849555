"""Conversion from image space to a network's own input, and back.

Image space is RGB, float, [0, 1], NCHW, everywhere. The conventions of a network's training (size, mean and standard
deviation, channel order, 0..1 or 0..255) are used only here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.precision import full_precision

LARGEST_SIDE = 8192
"""The largest side of an image that a network takes or gives, in pixels; far above any, and far below all memory."""
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class InputSpace:
    """A network's own input: input = (value_range * image - mean) / std, in the network's channel order.

    Attributes:
        size: Height and width of the network's input, in pixels; None accepts any size without resizing.
        mean, std: Per channel, in the network's channel order and value range; one number for grey.
        channel_order: "RGB", "BGR", or "grey": one channel, the luminance of RGB (ITU-R BT.601, as Pillow's).
        value_range: The network's value for 1.0 in image space: 1.0 or 255.0.
        fit: How images of another size are fitted to `size`: "resize" (the whole image, antialiased) or "crop" (the
            centre; the paper's 256 -> 227; images smaller than `size` are resized).
        resize: With fit="crop", the short side in pixels to which images are resized before the crop, as in the
            evaluation of published networks (224 of 256); None crops without resizing.
        interpolation: "bilinear" or "bicubic".

    Raises:
        UserError: If a value is invalid.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: str = "RGB"
    value_range: float = 1.0
    fit: str = "resize"
    resize: int | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _check_choice("channel_order", self.channel_order, ("RGB", "BGR", "grey"))
        _check_choice("fit", self.fit, ("resize", "crop"))
        _check_choice("interpolation", self.interpolation, ("bilinear", "bicubic"))
        for key in ("mean", "std"):
            value = getattr(self, key)
            numbers = isinstance(value, Sequence) and all(map(_is_number, value))
            if self.channel_order == "grey":
                if not numbers or isinstance(value, str) or not value or len(set(value)) > 1:
                    raise UserError(f"{key}={_format(value)} of a grey network needs one number: {key}=[0.5]")
                object.__setattr__(self, key, tuple(value[:1]))
            elif not numbers or len(value) != 3:
                raise UserError(f"{key}={_format(value)} needs three numbers, one a channel: {key}=[0.5,0.5,0.5]")
        if not _is_number(self.value_range):
            raise UserError(f"value_range={self.value_range} must be a number: 1 or 255")
        if self.size is not None and (isinstance(self.size, str) or len(self.size) != 2):
            raise UserError(f"input_size={_format(self.size)} needs a side, or height and width: input_size=[240,320]")
        if min(self.std) <= 0 or self.value_range <= 0:
            raise UserError(f"std={list(self.std)} and value_range={self.value_range} must be positive")
        for key, sides in (("input_size", self.size or ()), ("resize", () if self.resize is None else (self.resize,))):
            if not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
                raise UserError(f"{key}={_format(sides)} must be whole numbers of pixels, from 1 to {LARGEST_SIDE}")

    @full_precision
    def enter(self, images: Tensor) -> Tensor:
        """Image space (N, 3, H, W) -> the network's input, float32 (float64 stays). Differentiable.

        It is (N, 3, *size), or (N, 1, *size) for grey.
        """
        images = self._sized(images)
        if self.channel_order == "grey":
            images = (images * _per_channel(_LUMINANCE, images)).sum(1, keepdim=True)
        if self.channel_order == "BGR":
            images = images.flip(1)
        mean, std = self._constants(images)
        return (images * self.value_range - mean) / std

    @full_precision
    def leave(self, inputs: Tensor) -> Tensor:
        """The network's input (N, 3 or 1, H, W) -> image space; the size stays. Differentiable, not clamped."""
        mean, std = self._constants(inputs)
        images = (inputs * std + mean) / self.value_range
        if self.channel_order == "grey":
            return images.expand(-1, 3, -1, -1)
        return images.flip(1) if self.channel_order == "BGR" else images

    def visible_part(self, region: Sequence[float], image_size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Maps a region of the network's input to the same region of an image.

        Args:
            region: (top, left, bottom, right) in pixels of the input.
            image_size: Height and width of the image, in pixels.

        Returns:
            (top, left, bottom, right) in pixels of the image.
        """
        if self.size is None or tuple(image_size) == self.size:
            y0, x0, y1, x1 = region
            return y0, x0, y1, x1
        (h, w), (height, width) = self.size, image_size
        top = left = 0.0
        scale_y, scale_x = height / h, width / w
        if self.fit == "crop":
            sides = self._before_crop(image_size)
            if sides[0] >= h and sides[1] >= w:
                top, left = round((sides[0] - h) / 2), round((sides[1] - w) / 2)
                scale_y, scale_x = height / sides[0], width / sides[1]
        y0, x0, y1, x1 = region
        return (top + y0) * scale_y, (left + x0) * scale_x, (top + y1) * scale_y, (left + x1) * scale_x

    def overridden(
        self,
        input_size: int | Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channel_order: str | None = None,
        value_range: float | None = None,
        fit: str | None = None,
        resize: int | None = None,
    ) -> "InputSpace":
        """Returns a copy with all values replaced that are not None.

        The arguments are the keys shared by encoder, comparator, target and judge. If `resize` is None, it is scaled
        with the input size.
        """
        if isinstance(input_size, int):
            input_size = (input_size, input_size)
        pixels = isinstance(input_size, Sequence) and all(isinstance(side, int) and side > 0 for side in input_size)
        if pixels and input_size and resize is None and self.resize and self.size:
            resize = round(self.resize * min(input_size) / min(self.size))
        given: dict[str, Any] = dict(
            size=input_size, mean=mean, std=std, channel_order=channel_order, value_range=value_range
        )
        given |= dict(fit=fit, resize=resize)
        given = {k: tuple(v) if isinstance(v, Sequence) and not isinstance(v, str) else v for k, v in given.items()}
        values: dict[str, Any] = {**asdict(self), **{k: v for k, v in given.items() if v is not None}}
        return InputSpace(**values)

    def halved(self) -> "InputSpace":
        """Returns a copy for inputs of half the side."""
        size = None if self.size is None else (self.size[0] // 2, self.size[1] // 2)
        return replace(self, size=size, resize=None if self.resize is None else self.resize // 2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpace":
        """Inverse of `to_dict`, also after JSON or YAML. Raises UserError for an unknown key."""
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()}
        try:
            return cls(**given)
        except TypeError as error:
            raise UserError(f"{dict(values)} does not describe an input space: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _sized(self, images: Tensor) -> Tensor:
        if self.size is None or tuple(images.shape[-2:]) == self.size:
            return images
        h, w = self.size
        if self.fit == "crop":
            # Rounds sides as torchvision's Resize does, and the corner as its CenterCrop does.
            images = self._interpolated(images, self._before_crop(images.shape[-2:]))
            height, width = images.shape[-2:]
            if height >= h and width >= w:
                top, left = round((height - h) / 2), round((width - w) / 2)
                return images[..., top : top + h, left : left + w]
        return self._interpolated(images, self.size)

    def _before_crop(self, sides: Sequence[int]) -> tuple[int, ...]:
        short = min(sides)
        if self.resize is None:
            return tuple(sides)
        return tuple(self.resize if side == short else int(self.resize * side / short) for side in sides)

    def _interpolated(self, images: Tensor, size: Sequence[int]) -> Tensor:
        if tuple(images.shape[-2:]) == tuple(size):
            return images
        return F.interpolate(images, list(size), mode=self.interpolation, antialias=True, align_corners=False)

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return _per_channel(self.mean, like), _per_channel(self.std, like)


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """Tensor (channels, 1, 1), filled on the device of `like`.

    A tensor created from a list would be copied from the host, which synchronizes with the GPU at every step.
    """
    return torch.cat([like.new_full((1, 1, 1), float(value)) for value in values])


def _check_choice(key: str, value: str, right: tuple[str, ...]) -> None:
    if value not in right:
        raise UserError(f"{key}={value!r} must be one of {', '.join(right)}")


def _is_number(value: Any) -> bool:
    """Whether it is a finite number that float32 can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


def _format(value: Any) -> str:
    """Formats a value as on a command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)
