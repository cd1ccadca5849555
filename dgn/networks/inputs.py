"""Conversion from image space to a network's own input, and back.

Image space is float, [0, 1], NCHW, everywhere, RGB unless the data have other channels. The conventions of a network's
training (size, mean and standard deviation, channel order, 0..1 or 0..255) are used only here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.channels import in_words, luminance
from dgn.errors import UserError
from dgn.networks.input_checks import check_bands, check_choice, formatted, is_number
from dgn.networks.precision import full_precision

ORDERS = ("RGB", "BGR", "grey", "as_is")
LARGEST_SIDE = 8192
"""The largest side of an image that a network takes or gives, in pixels; far above any, and far below all memory."""


@dataclass(frozen=True)
class InputSpace:
    """A network's own input: input = (value_range * image - mean) / std, in the network's channel order.

    Attributes:
        size: Height and width of the network's input, in pixels; None accepts any size without resizing.
        mean, std: Per channel, in the network's channel order and value range; one number for grey. There are as many
            channels as numbers.
        channel_order: "RGB", "BGR", "grey": one channel, of grey images, or the luminance of RGB (ITU-R BT.601, as
            Pillow's); or "as_is": the images' channels, whatever they are.
        value_range: The network's value for 1.0 in image space: 1.0 or 255.0.
        fit: How images of another size are fitted to `size`: "resize" (the whole image, antialiased) or "crop" (the
            centre; the paper's 256 -> 227; images smaller than `size` are resized).
        resize: With fit="crop", the short side in pixels to which images are resized before the crop, as in the
            evaluation of published networks (224 of 256); None crops without resizing.
        interpolation: "bilinear" or "bicubic".
        bands: Indices of the images' channels that the network sees, in this order; None: all.

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
    bands: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("channel_order", self.channel_order, ORDERS)
        check_choice("fit", self.fit, ("resize", "crop"))
        check_choice("interpolation", self.interpolation, ("bilinear", "bicubic"))
        for key in ("mean", "std"):
            value = getattr(self, key)
            numbers = isinstance(value, Sequence) and all(map(is_number, value))
            if self.channel_order == "grey":
                if not numbers or isinstance(value, str) or not value or len(set(value)) > 1:
                    raise UserError(f"{key}={formatted(value)} of a grey network needs one number: {key}=[0.5]")
                object.__setattr__(self, key, tuple(value[:1]))
            elif not numbers or (self.channel_order != "as_is" and len(value) != 3):
                raise UserError(f"{key}={formatted(value)} needs three numbers, one a channel: {key}=[0.5,0.5,0.5]")
        if len(self.mean) != len(self.std) or not self.mean:
            raise UserError(
                f"mean={formatted(self.mean)} and std={formatted(self.std)}: give one number a channel to both"
            )
        check_bands(self.bands, self.channel_order, self.channels)
        if not is_number(self.value_range):
            raise UserError(f"value_range={self.value_range} must be a number: 1 or 255")
        if self.size is not None and (isinstance(self.size, str) or len(self.size) != 2):
            raise UserError(
                f"input_size={formatted(self.size)} needs a side, or height and width: input_size=[240,320]"
            )
        if min(self.std) <= 0 or self.value_range <= 0:
            raise UserError(f"std={list(self.std)} and value_range={self.value_range} must be positive")
        for key, sides in (("input_size", self.size or ()), ("resize", () if self.resize is None else (self.resize,))):
            if not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
                raise UserError(f"{key}={formatted(sides)} must be whole numbers of pixels, from 1 to {LARGEST_SIDE}")

    @property
    def channels(self) -> int:
        """The number of channels of the network's input."""
        return len(self.mean)

    @property
    def image_channels(self) -> int:
        """The number of channels of images that enter (for grey: RGB, although grey images enter too)."""
        if self.bands is not None:
            return max(self.bands) + 1
        return self.channels if self.channel_order == "as_is" else 3

    @full_precision
    def enter(self, images: Tensor) -> Tensor:
        """Image space (N, C, H, W) -> the network's input, float32 (float64 stays). Differentiable.

        It is (N, channels, *size). Grey images enter an RGB network too, and RGB images a grey one.

        Raises:
            UserError: If the images have another number of channels.
        """
        images = self._sized(self._selected(images))
        if self.channel_order == "grey":
            images = luminance(images)
        if self.channel_order == "BGR":
            images = images.flip(1)
        mean, std = self._constants(images)
        return (images * self.value_range - mean) / std

    @full_precision
    def leave(self, inputs: Tensor) -> Tensor:
        """The network's input (N, channels, H, W) -> image space; the size stays. Differentiable, not clamped.

        Grey becomes RGB. Channels of the images that the network does not see (`bands`) are left out.
        """
        mean, std = self._constants(inputs)
        images = (inputs * std + mean) / self.value_range
        if self.channel_order == "grey":
            return images.expand(-1, 3, -1, -1)
        return images.flip(1) if self.channel_order == "BGR" else images

    def seen(self, images: Tensor) -> Tensor:
        """Returns images as the network sees them, still in image space, (N, C, *size): resized, and grey if it is."""
        if self.bands is not None:
            return self._sized(images)
        return self.leave(self.enter(images))[:, : images.shape[1]]

    def zero(self, channels: int) -> Tensor:
        """Returns the image, (1, channels, 1, 1) in [0, 1], that the network sees as zero; mid-grey where it sees none.

        Args:
            channels: The number of channels of the images.
        """
        image = self.leave(torch.zeros(1, self.channels, 1, 1)).clamp(0, 1)
        if self.bands is not None:
            whole = torch.full((1, channels, 1, 1), 0.5)
            whole[:, list(self.bands)] = image[:, : len(self.bands)]
            return whole
        if image.shape[1] == channels:
            return image
        return image.mean(1, keepdim=True).expand(-1, channels, -1, -1).clone()

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
        channels: int | None = None,
        bands: Sequence[int] | None = None,
    ) -> "InputSpace":
        """Returns a copy with all values replaced that are not None.

        With another number of channels, by `channels` or by numbers of `mean` and `std`, what is not given is the mean
        over the channels that there were.

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
        given |= dict(fit=fit, resize=resize, bands=bands)
        given = {k: tuple(v) if isinstance(v, Sequence) and not isinstance(v, str) else v for k, v in given.items()}
        given = {k: v for k, v in given.items() if v is not None}
        values: dict[str, Any] = {**asdict(self), **self._of_channels(channels, given), **given}
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
        values = asdict(self)
        return {key: value for key, value in values.items() if key != "bands" or value is not None}

    def _of_channels(self, channels: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Mean, std and order of another number of channels, as far as they are not given."""
        numbers = [len(given[key]) for key in ("mean", "std") if isinstance(given.get(key), tuple)]
        order = given.get("channel_order")
        wanted = channels or (numbers[0] if numbers and order not in ("RGB", "BGR", "grey") else self.channels)
        if order == "grey" and channels is None:
            wanted = 1
        elif order in ("RGB", "BGR"):
            wanted = 3
        if wanted == self.channels:
            return {}
        one = {key: (sum(getattr(self, key)) / self.channels,) * wanted for key in ("mean", "std")}
        return one | {"channel_order": {1: "grey", 3: "RGB"}.get(wanted, "as_is")}

    def _selected(self, images: Tensor) -> Tensor:
        """The images' channels that the network sees, as many as its order takes."""
        count = images.shape[1]
        if self.bands is not None:
            if max(self.bands) >= count:
                raise UserError(f"bands={formatted(self.bands)}: the images have {in_words(count)}, 0 .. {count - 1}")
            images = images[:, list(self.bands)]
        seen = images.shape[1]
        if self.channel_order in ("RGB", "BGR") and seen == 1:
            return images.expand(-1, 3, -1, -1)
        if seen == self.channels or (self.channel_order == "grey" and seen == 3):
            return images
        raise UserError(
            f"images of {in_words(seen)} do not enter a network that takes {in_words(self.channels)}: choose which of "
            f"them it sees with bands=[...] of the network's keys ({self.channels} indices), or take another network"
        )

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
