"""What every generator G_l is: codes of layer l in, images out. `dgn.networks.generator_kinds` lists the kinds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.size import ImageSize, sides, written
from dgn.data.size import image_size as as_size
from dgn.devices import double
from dgn.errors import UserError
from dgn.networks.inputs import LARGEST_SIDE, InputSpace
from dgn.networks.precision import own_layers


class Generator(nn.Module, ABC):
    """A generator: it normalizes codes, computes raw images from them, and brings these to image space.

    A kind of generator implements `raw` and `architecture`, and sets `uncropped_size`.

    Args:
        code_shape: Shape of one code: (units,), (channels, height, width) or (tokens, units).
        image_size: Side of square images in pixels, or (height, width); larger raw images are center-cropped.
        output_space: Conversion from raw images to image space.
        normalize_codes: Whether to subtract each unit's mean and scale the code to unit scale before the first layer
            (set by `set_code_statistics`). The paper uses raw codes; normalization lets one training configuration
            work for the codes of any network.
        channels: Number of channels of the images.

    Attributes:
        kind: The name of the kind in `spec`.
        uncropped_size: Side of the raw images in pixels, or (height, width).
        image_shape: (channels, height, width) of the images.
    """

    kind: ClassVar[str]
    uncropped_size: ImageSize
    code_mean: Tensor
    code_scale: Tensor

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        output_space: InputSpace | Mapping[str, Any] | None = None,
        normalize_codes: bool = True,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.code_shape = tuple(int(n) for n in code_shape)
        self.image_size: ImageSize = as_size(image_size)
        if max(sides(self.image_size)) > LARGEST_SIDE:
            raise UserError(f"images of {written(self.image_size)} pixels: give whole numbers from 1 to {LARGEST_SIDE}")
        self.channels = channels
        self.image_shape = (channels, *sides(self.image_size))
        if isinstance(output_space, Mapping):
            output_space = InputSpace.from_dict(output_space)
        if not isinstance(output_space, InputSpace | None):
            raise UserError(f"output_space={output_space!r} is no space of images")
        order = "RGB" if channels == 3 else "as_is"
        self.output_space = output_space or InputSpace(
            mean=(0.5,) * channels, std=(0.25,) * channels, channel_order=order
        )
        # Image = mean + std * raw, so "leave" of a space whose own range is image space's.
        self.normalize_codes = normalize_codes
        self.register_buffer("code_mean", torch.zeros(self.code_shape))
        self.register_buffer("code_scale", torch.ones(()))

    @abstractmethod
    def raw(self, codes: Tensor) -> Tensor:
        """Normalized codes (N, *code_shape) -> the last layer's output (N, channels, *uncropped_size)."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Returns the constructor's arguments beside those of `Generator`, as plain values."""

    def raw_half(self, codes: Tensor) -> Tensor:
        """Like `raw`, at half the side: the means of 2x2 pixels. A kind that can compute about them for less does."""
        return F.avg_pool2d(self.raw(codes), 2)

    def forward(self, codes: Tensor, half: bool = False) -> Tensor:
        """codes: (N, *code_shape) -> images (N, *image_shape) in image space, not clamped.

        With half, images of half the side (`dgn.training.progressive`).
        """
        wanted, whole = sides(self.image_size), sides(self.uncropped_size)
        if half and any((a - b) % 4 for a, b in zip(whole, wanted, strict=True)):
            return F.avg_pool2d(self(codes), 2)  # the crop would fall between two pixels of the half
        images = self.uncropped(codes, half)
        height, width = (side // 2 for side in wanted) if half else wanted
        top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
        return images[..., top : top + height, left : left + width]

    def uncropped(self, codes: Tensor, half: bool = False) -> Tensor:
        """Like `forward`, before the center crop: (N, channels, *uncropped_size)."""
        codes = self.normalized(codes)
        with own_layers(codes.device):
            raw = self.raw_half(codes) if half else self.raw(codes)
        return self.output_space.leave(raw)

    def normalized(self, codes: Tensor) -> Tensor:
        """Input of the first layer for codes (N, *code_shape): normalized if `normalize_codes` is set."""
        codes = codes.to(self.code_mean.dtype)
        return (codes - self.code_mean) * self.code_scale if self.normalize_codes else codes

    def upconvolutions(self) -> list[nn.Module]:
        """Returns the layers with weights that weight decay spares: none, unless a kind has such layers."""
        return []

    @property
    def own_code(self) -> str | None:
        """The user's own code by which it is made, which no prior file holds; None: it is one of our classes."""
        return None

    def set_code_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets the normalization of codes.

        Each unit's mean is subtracted, and all units are divided by the root mean square of their standard
        deviations. Dividing each unit by its own would amplify units that are rarely or never active.

        Args:
            mean: (*code_shape), means over real images.
            std: (*code_shape), standard deviations over real images.
        """
        scale = double(std).square().mean().sqrt().clamp_min(1e-12)
        self.code_mean.copy_(mean)
        self.code_scale.fill_(float(1 / scale))

    def spec(self) -> dict[str, Any]:
        """Returns plain values from which `dgn.networks.generator_kinds.build_generator` builds the same network."""
        size = self.image_size
        return dict(
            kind=self.kind,
            code_shape=list(self.code_shape),
            image_size=size if isinstance(size, int) else list(size),
            **({} if self.channels == 3 else {"channels": self.channels}),  # RGB is the default of older files
            output_space=self.output_space.to_dict(),
            normalize_codes=self.normalize_codes,
            **self.architecture(),
        )
