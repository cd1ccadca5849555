"""The modulated generator: the code enters at every resolution, by scale and shift of channels.

A code becomes an embedding, from which a linear layer in every block computes the scale and the shift of the block's
input channels (Perez et al. 2018, "FiLM"; Brock et al. 2019, "BigGAN"; Karras et al. 2020, "StyleGAN2"). In the
upconvolutional generator, the code enters only at the first layer. Blocks are residual (He et al. 2016): the side
doubles, and what the convolution adds to the doubled map is learned.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.size import ImageSize, sides
from dgn.data.size import image_size as as_size
from dgn.networks.code_layouts import Grid, Reshape, Resize
from dgn.networks.doubling import Doubling
from dgn.networks.generator_base import Generator
from dgn.networks.generator_plans import channels_at, nearest_start, smallest_start, start_sides
from dgn.networks.inputs import InputSpace
from dgn.networks.plan import scaled

SLOPE = 0.3
"""Of the leaky ReLUs, as in the paper's generator."""
GAIN = 0.1
"""Factor of scales and shifts, see `Modulation`."""


class ModulatedGenerator(Generator):
    """A generator whose blocks are all modulated by the code.

    - A vector (or a map of one position) is embedded by two fully connected layers; a third makes the first map of the
      embedding, with a side of 4 to 7.
    - A map is resized to the nearest side from which doublings reach the image, and a convolution makes it the first
      map; the embedding is of its mean over positions.
    - Tokens: the patches are such a map; the embedding is of their mean and the other tokens (class token).

    Args:
        code_shape, image_size, output_space, normalize_codes, channels: As in `Generator`.
        width: Scales channels and units; 1 is the size of the published upconvolutional networks.
        noise: Whether every block adds noise (one value a position, scaled for each channel) to its output, for what
            the code does not say (Karras et al. 2019, "StyleGAN"). It is drawn anew in training. In evaluation mode it
            is fixed, so that an image depends on the code alone.

    Raises:
        UserError: If width is not a positive number.
    """

    kind = "modulated"

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        width: float = 1.0,
        output_space: InputSpace | Mapping[str, Any] | None = None,
        normalize_codes: bool = True,
        noise: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__(code_shape, image_size, output_space, normalize_codes, channels)
        self.width, self.noise = width, noise
        units, features, short = scaled(4096, width), scaled(256, width), min(sides(self.image_size))
        self.layout = CodeLayout(self.code_shape)
        self.embedding = nn.Sequential(
            nn.Linear(self.layout.embedded_units, units), nn.LeakyReLU(SLOPE),
            nn.Linear(units, units), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.start: nn.Sequential
        if self.layout.map_shape is None:
            side = smallest_start(short)
            tall, wide = start_sides(side, self.image_size)
            self.start = nn.Sequential(nn.Linear(units, features * tall * wide), Reshape((features, tall, wide)))
        else:
            side = nearest_start(math.sqrt(math.prod(self.layout.map_shape[1:])), short)
            tall, wide = start_sides(side, self.image_size)
            features = channels_at(side, width)
            self.start = nn.Sequential(Resize(tall, wide), nn.Conv2d(self.layout.map_shape[0], features, 3, padding=1))
        self.blocks = nn.ModuleDict()
        while side < short:
            side, tall, wide = 2 * side, 2 * tall, 2 * wide
            after = channels_at(side, width)
            # Named by the power of 2, so that a block has the same name in generators of other sizes.
            self.blocks[f"{2 ** round(math.log2(side))}"] = Block(units, features, after, (tall, wide), noise)
            features = after
        self.uncropped_size = as_size([tall, wide])
        self.last = nn.Conv2d(features, channels, 3, padding=1)
        self.last_modulation = Modulation(units, features)
        self.apply(_initialize)

    def raw(self, codes: Tensor) -> Tensor:
        return self._raw(codes, half=False)

    def raw_half(self, codes: Tensor) -> Tensor:
        """The last block does not double its map; the last layer sees the means of 2x2 positions of its output."""
        return self._raw(codes, half=True)

    def _raw(self, codes: Tensor, half: bool) -> Tensor:
        vector, positions = self.layout(codes)
        embedding = self.embedding(vector)
        x = self.start(embedding if positions is None else positions)
        for i, block in enumerate(self.blocks.values(), start=1):
            x = block(x, embedding, half=half and i == len(self.blocks))
        images: Tensor = self.last(F.leaky_relu(self.last_modulation(x, embedding), SLOPE))
        return images

    def architecture(self) -> dict[str, Any]:
        return {"width": self.width, "noise": self.noise}


class CodeLayout(nn.Module):
    """Splits codes into a vector for the embedding and, if they have positions, a map.

    Attributes:
        embedded_units: Number of units of the vector.
        map_shape: Shape of the map (channels, height, width), or None.
    """

    def __init__(self, code_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.further = 0
        self.map_shape: tuple[int, int, int] | None = None
        self.grid: Grid | None = None
        if len(code_shape) == 2:
            tokens, units = code_shape
            side = math.isqrt(tokens)
            self.further = tokens - side * side
            self.map_shape, self.grid = (units, side, side), Grid(side, side)
        elif len(code_shape) == 3 and max(code_shape[1:]) > 1:
            channels, height, width = code_shape
            self.map_shape = (channels, height, width)
        units = math.prod(code_shape) if self.map_shape is None else self.map_shape[0]
        self.embedded_units = units * (1 + self.further)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Codes (N, *code_shape) -> vector (N, embedded_units), and map (N, *map_shape) or None."""
        if self.map_shape is None:
            return codes.flatten(1), None
        positions = codes if self.grid is None else self.grid(codes[:, self.further :])
        mean = positions.mean((2, 3))
        return torch.cat([mean, codes[:, : self.further].flatten(1)], 1) if self.further else mean, positions


class Modulation(nn.Module):
    """x (N, C, H, W) -> (1 + scale) x / |x| + shift, |x| the root mean square of each image's map.

    Scale and shift (N, C) are linear in the embedding (N, units). Adam moves each of a channel's many weights by the
    learning rate, and scales multiply from block to block: `GAIN` slows them down, as the equalized learning rate of
    Karras et al. 2018 does, and the normalization keeps the maps from growing. Without the two, training diverges at
    the default learning rate.
    """

    def __init__(self, units: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(units, 2 * channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = (GAIN * self.linear(embedding))[:, :, None, None].chunk(2, dim=1)
        size = x.square().mean((1, 2, 3), keepdim=True, dtype=torch.float32)
        return torch.addcmul(shift, x, ((1 + scale) * torch.rsqrt(size + 1e-6)).to(x.dtype))


class Block(nn.Module):
    """Doubles the sides: x (N, in, H, W) -> (N, out, 2H, 2W), sides = (2H, 2W).

    The sum of two paths: modulation, leaky ReLU, doubling and 3x3 convolution; and a 1x1 convolution, doubled.
    """

    def __init__(self, units: int, in_channels: int, out_channels: int, sides: tuple[int, int], noise: bool) -> None:
        super().__init__()
        self.modulation = Modulation(units, in_channels)
        self.doubling = Doubling(in_channels, out_channels)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.noise = NoiseInput(out_channels, sides) if noise else None

    def forward(self, x: Tensor, embedding: Tensor, half: bool = False) -> Tensor:
        """With half, the means of 2x2 positions of the output."""
        inner = F.leaky_relu(self.modulation(x, embedding), SLOPE)
        skipped = self.skip(x)
        x = skipped + self.doubling.halved(inner) if half else doubled(skipped) + self.doubling(inner)
        return x if self.noise is None else self.noise(x)


def doubled(x: Tensor) -> Tensor:
    """Repeats every pixel of x, (N, C, H, W) -> (N, C, 2H, 2W), in its own dtype (autocast would take float32)."""
    with torch.autocast(x.device.type, enabled=False):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class NoiseInput(nn.Module):
    """Adds noise of one value a position, times a learned strength of each channel that is 0 at first."""

    fixed: Tensor

    def __init__(self, channels: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", torch.randn(1, 1, *sides))

    def forward(self, x: Tensor) -> Tensor:
        # One map for the whole batch of a step, so that it does not depend on how the batch is split.
        noise = torch.randn_like(self.fixed) if self.training else self.fixed
        if x.shape[-1] < noise.shape[-1]:
            noise = F.avg_pool2d(noise, 2)
        return x + self.strength * noise


def _initialize(module: nn.Module) -> None:
    """MSRA initialization for leaky ReLU; each of the two paths of a block has half the variance."""
    if isinstance(module, nn.Linear | nn.Conv2d | Doubling):
        nn.init.kaiming_normal_(module.weight, a=SLOPE, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Block):
        module.skip.weight.data.mul_(math.sqrt((1 + SLOPE**2) / 2 / 2))
        module.doubling.weight.data.mul_(math.sqrt(0.5))
