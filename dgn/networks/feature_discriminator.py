"""A discriminator on the comparator's features: small heads at several layers (Projected GAN, Sauer et al. 2021).

The training step computes the comparator's features of x and of G(y) anyway, for the feature loss. The heads see them
after fixed random projections: 1x1 convolutions to the same number of channels at every layer, and a mixing of scales
from the deepest layer to the first. So no head can look at a few channels only, and each sees all scales. A head is
conditioned on the code by projection (Miyato & Koyama 2018).
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dgn.data.size import ImageSize, sides
from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import at_least_float32, full_precision, own_layers


class FeatureDiscriminator(Critic):
    """Hinge heads on features of the comparator.

    Args:
        feature_shapes: {layer: shape of its features, (C, H, W), (tokens, units) or (units,)}, from the first layer to
            the deepest.
        code_shape: The shape of the codes that the heads are conditioned on; None: they see the features only.
        channels: The channels of the projections and of the heads.
        seed: The seed of the fixed projections.
        pixels: The channels of a further head, on patches of pixels; 0: none. The features of C leave out part of what
            images consist of.
        image_channels: The number of channels of the images.
        places: The height and width of images for a further head, linear in their pixels; None: none.

    Attributes:
        layers: The names of the layers.

    Raises:
        UserError: If there is no layer, `channels` is not positive, or `pixels` is negative.
    """

    def __init__(
        self,
        feature_shapes: Mapping[str, Sequence[int]],
        code_shape: Sequence[int] | None = None,
        channels: int = 32,
        seed: int = 0,
        pixels: int = 0,
        image_channels: int = 3,
        places: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if not feature_shapes:
            raise UserError("discriminator.layers is empty; give layers of the comparator, or auto")
        if channels < 1:
            raise UserError(f"discriminator.channels={channels} must be at least 1")
        if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 0:
            raise UserError(f"discriminator.pixels={pixels}: give a number of channels, 0 (no head on pixels) or auto")
        self.layers = tuple(feature_shapes)
        random = torch.Generator().manual_seed(seed)
        self.heads, self.projections = nn.ModuleList(), nn.ModuleList()
        for shape in feature_shapes.values():
            units = shape[-1] if len(shape) == 2 else shape[0]
            self.projections.append(_Projection(units, channels, random))
            side = min(shape[1:]) if len(shape) == 3 else 1
            self.heads.append(_Head(channels, side, code_shape))
        self.of_pixels = nn.ModuleList()
        if pixels:
            self.of_pixels.append(_PatchHead(pixels, image_channels))
        if places is not None:
            self.of_pixels.append(_PlacesHead(image_channels, places))

    def seen(self, images: Tensor, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns what D sees of images: their features (N, ...) at D's layers, then the images if a head sees them."""
        seen = [features[layer] for layer in self.layers]
        return [*seen, images] if len(self.of_pixels) else seen

    def judge(
        self, real: Sequence[Tensor], generated: Sequence[Tensor], codes: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Scores images by every head.

        The features of each pair of images are divided by the root mean square of the real one's, so that networks of
        any scale are alike.
        """
        pairs, maps = [], len(self.layers)
        for a, b in zip(map(_as_map, real[:maps]), map(_as_map, generated[:maps]), strict=True):
            a, b = at_least_float32(a), at_least_float32(b)
            scale = a.detach().square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
            pairs.append(torch.cat([a / scale, b / scale]))
        scores = self(pairs, torch.cat([codes, codes]))
        if len(self.of_pixels):
            images = torch.cat([real[-1], generated[-1]])
            scores += [head(images) for head in self.of_pixels]
        count = len(codes)
        return [score[:count] for score in scores], [score[count:] for score in scores]

    def forward(self, features: Sequence[Tensor], codes: Tensor) -> list[Tensor]:
        """Maps scaled features (N, C, H, W) of every layer and codes to the scores of every head, (N, positions)."""
        with own_layers(codes.device):
            mixed: list[Tensor] = []
            for projection, x in zip(reversed(list(self.projections)), reversed(list(features)), strict=True):
                mixed.append(projection(x, mixed[-1] if mixed else None))
            scores = [head(x, codes) for head, x in zip(self.heads, reversed(mixed), strict=True)]
        return [at_least_float32(s) for s in scores]


class _Projection(nn.Module):
    """Fixed random maps: 1x1 to `channels`; then, with the deeper layer's output added, 3x3 (cross-scale mixing)."""

    across: Tensor
    around: Tensor

    def __init__(self, units: int, channels: int, random: torch.Generator) -> None:
        super().__init__()
        across = torch.randn(channels, units, 1, 1, generator=random) / math.sqrt(units)
        around = torch.randn(channels, channels, 3, 3, generator=random) / math.sqrt(9 * channels)
        self.register_buffer("across", across)
        self.register_buffer("around", around)

    def forward(self, x: Tensor, deeper: Tensor | None) -> Tensor:
        x = F.conv2d(x, self.across)
        if deeper is not None:
            x = (x + _resized(deeper, x)) / math.sqrt(2)
        return F.conv2d(x, self.around, padding=1)


@full_precision
def _resized(deeper: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(deeper, like.shape[-2:], mode="bilinear", align_corners=False)


class _Head(nn.Module):
    """Convolutions with spectral norm (of stride 2 while the map is larger than 8x8), and a score at each position."""

    def __init__(self, channels: int, side: int, code_shape: Sequence[int] | None) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        while True:
            stride = 2 if side > 8 else 1
            self.layers.append(spectral_norm(nn.Conv2d(channels, channels, 3, stride, 1)))
            self.layers.append(nn.LeakyReLU(0.2))
            side = math.ceil(side / stride)
            if stride == 1:
                break
        self.score = spectral_norm(nn.Conv2d(channels, 1, 1))
        self.embedding: nn.Module | None = None
        if code_shape is not None:
            self.embedding = spectral_norm(nn.Linear(math.prod(code_shape), channels, bias=False))
        self.width = math.prod(code_shape or (1,))

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        x = self.layers(x)
        score = self.score(x).flatten(1)
        if self.embedding is None:
            return score
        # Normalized codes have a length of about sqrt(width), whatever their number of units.
        direction = self.embedding(codes.flatten(1)) / math.sqrt(self.width)
        return score + torch.einsum("ncp,nc->np", x.flatten(2), direction)


class _PatchHead(nn.Module):
    """Scores of overlapping patches of 18x18 pixels (PatchGAN, Isola et al. 2017), three convolutions of stride 2."""

    def __init__(self, channels: int, image_channels: int) -> None:
        super().__init__()
        sizes = ((image_channels, channels, 4), (channels, 2 * channels, 4), (2 * channels, 4 * channels, 3))
        self.layers = nn.Sequential()
        for before, after, kernel in sizes:
            self.layers.append(spectral_norm(nn.Conv2d(before, after, kernel, 2, 1)))
            self.layers.append(nn.LeakyReLU(0.2))
        self.layers.append(spectral_norm(nn.Conv2d(4 * channels, 1, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) in image space to scores (N, patches)."""
        with own_layers(images.device):
            scores = self.layers(4 * images - 2)
        return at_least_float32(scores.flatten(1))


class _PlacesHead(nn.Module):
    """A score that is linear in the pixels: of what images have in common at fixed places.

    Other heads are alike at every position. A lattice that G paints into every image at the same places is a texture to
    them, and to this one a difference of two means. Its weights have the norm 1, as with spectral norm. The products
    are summed without a matrix product, whose rounding would depend on where the images lie in memory. Images are
    clamped, as a linear score would else pull pixels beyond black and white without end.
    """

    def __init__(self, image_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        bound = 1 / math.sqrt(image_channels * math.prod(size))  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(1, image_channels, *size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) in image space, or of half the side, to scores (N, 1)."""
        images = at_least_float32(images)
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size)
        products = (4 * images.clamp(0, 1) - 2) * (self.weight / self.weight.square().sum().sqrt())
        return products.flatten(1).sum(1, keepdim=True) + self.bias


def _as_map(features: Tensor) -> Tensor:
    """Arranges vectors (N, D) as maps (N, D, 1, 1), and tokens (N, T, D) as (N, D, T, 1)."""
    if features.dim() == 4:
        return features
    return features[..., None, None] if features.dim() == 2 else features.transpose(1, 2)[..., None]


def feature_discriminator(
    image_size: ImageSize,
    code_shape: Sequence[int],
    comparator: FeatureNet,
    layers: Sequence[str] | str = "auto",
    channels: int = 32,
    conditional: bool = True,
    seed: int = 0,
    pixels: int = 0,
    image_channels: int = 3,
    places: bool = False,
) -> FeatureDiscriminator:
    """Builds the discriminator of `discriminator=features`.

    Args:
        image_size: The size of the images in pixels.
        code_shape: The shape of the codes.
        comparator: C.
        layers: The layers of C; "auto": up to four maps of different sizes (`FeatureNet.several_layers`). In
            CaffeNet's shape the first of them lies before the first max pooling. A maximum over 3x3 places is as high
            for a dot at every third place as for an edge: without a head on the map before, G paints such dots.
        channels: The channels of projections and heads.
        conditional: Whether the heads see the code.
        seed: The seed of the fixed projections.
        pixels: The channels of the head on pixels; 0: none.
        image_channels: The number of channels of the images.
        places: Whether there is a further head that is linear in the pixels.
    """
    if not isinstance(places, bool):
        raise UserError(f"discriminator.places={places}: give true, false or auto")
    if layers == "auto":
        layers = comparator.several_layers()
    names = [layers] if isinstance(layers, str) else list(layers)
    shapes = {name: comparator.layer(name).shape for name in names}
    code = tuple(code_shape) if conditional else None
    size = sides(image_size) if places else None
    return FeatureDiscriminator(shapes, code, channels, seed, pixels, image_channels, size)
