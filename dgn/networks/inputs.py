"""The way from image space to a network's own input, and back.

Image space is RGB, float, [0, 1], NCHW, everywhere. What a network was trained on (its size, mean and standard
deviation, channel order, 0..1 or 0..255) is known here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.errors import UserError


@dataclass(frozen=True)
class InputSpace:
    """A network's own input: input = (value_range * image - mean) / std, in the network's channel order.

    size: height and width that the network takes, pixels; None: any size, images enter as they are.
    mean, std: per channel, in the network's channel order and value range.
    channel_order: "RGB" or "BGR".
    value_range: what image space's 1.0 is to the network: 1.0 or 255.0.
    fit: how images of another size are brought to `size`: "resize" (bilinear, antialiased) or "crop" (centre;
        the paper's 256 -> 227; images smaller than `size` are resized).
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channel_order: str = "RGB"
    value_range: float = 1.0
    fit: str = "resize"

    def __post_init__(self) -> None:
        _one_of("channel_order", self.channel_order, ("RGB", "BGR"))
        _one_of("fit", self.fit, ("resize", "crop"))
        for key in ("mean", "std"):
            if len(getattr(self, key)) != 3:
                raise UserError(f"{key}={list(getattr(self, key))} needs three numbers, one a channel")
        if min(self.std) <= 0 or self.value_range <= 0:
            raise UserError(f"std={list(self.std)} and value_range={self.value_range} must be positive")
        if self.size is not None and min(self.size) < 1:
            raise UserError(f"input_size={list(self.size)} must be positive")

    def enter(self, images: Tensor) -> Tensor:
        """Image space (N, 3, H, W) -> the network's input (N, 3, *size). Differentiable."""
        images = self._sized(images)
        if self.channel_order == "BGR":
            images = images.flip(1)
        mean, std = self._constants(images)
        return (images * self.value_range - mean) / std

    def leave(self, inputs: Tensor) -> Tensor:
        """The network's input (N, 3, H, W) -> image space; the size stays. Differentiable, not clamped."""
        mean, std = self._constants(inputs)
        images = (inputs * std + mean) / self.value_range
        return images.flip(1) if self.channel_order == "BGR" else images

    def overridden(
        self,
        input_size: int | Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channel_order: str | None = None,
        value_range: float | None = None,
    ) -> "InputSpace":
        """The same with what is not None replaced: the keys that encoder, comparator, target and judge share."""
        if isinstance(input_size, int):
            input_size = (input_size, input_size)
        given = dict(size=input_size, mean=mean, std=std, channel_order=channel_order, value_range=value_range)
        given = {k: tuple(v) if isinstance(v, Sequence) and not isinstance(v, str) else v for k, v in given.items()}
        return InputSpace(**{**asdict(self), **{k: v for k, v in given.items() if v is not None}})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpace":
        """What `to_dict` gave, also after a journey through JSON or YAML. Raises UserError for an unknown key."""
        try:
            return cls(**{k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()})
        except TypeError as error:
            raise UserError(f"{dict(values)} does not describe an input space: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _sized(self, images: Tensor) -> Tensor:
        if self.size is None or tuple(images.shape[-2:]) == self.size:
            return images
        (height, width), (h, w) = images.shape[-2:], self.size
        if self.fit == "crop" and height >= h and width >= w:
            top, left = (height - h) // 2, (width - w) // 2
            return images[..., top : top + h, left : left + w]
        return F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.tensor(self.mean, device=like.device, dtype=like.dtype).view(3, 1, 1)
        std = torch.tensor(self.std, device=like.device, dtype=like.dtype).view(3, 1, 1)
        return mean, std


def _one_of(key: str, value: str, right: tuple[str, ...]) -> None:
    if value not in right:
        raise UserError(f"{key}={value!r} is none of {', '.join(right)}")
