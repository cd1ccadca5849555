"""Plans of generators: the published ones, and automatic ones for any code shape and image size.

The published plans are those of DeePSiM (Dosovitskiy & Brox 2016, supplement); the automatic ones follow their pattern.
"""

import math
from collections.abc import Sequence

from dgn.data.size import ImageSize, doublings, sides
from dgn.errors import UserError
from dgn.networks.plan import parse_plan, scaled, shape_after

_FROM_4 = "up 256, conv 512, up 256, conv 256, up 128, conv 128, up 64, up 32, up 3"
_FROM_FC = f"fc 4096, fc 4096, fc 4096, reshape 256x4x4, {_FROM_4}"
_FROM_13 = (
    "conv 384 p0, conv 512 p0, conv 512 k2 p0, up 256, conv 256, up 128, conv 128, up 128, conv 128, "
    "up 64, conv 32, up 16, conv 3, tanh"
)
_FROM_15 = "conv 128, conv 128, up 128, conv 128, up 64, conv 64, up 32, conv 32, up 16, conv 3, tanh"

PUBLISHED: dict[str, tuple[tuple[int, ...], str]] = {
    "norm1": ((96, 27, 27), f"conv 128 s2 p2, {_FROM_15}"),
    "norm2": ((256, 13, 13), f"conv 256 p2, {_FROM_15}"),
    "conv3": ((384, 13, 13), _FROM_13),
    "conv4": ((384, 13, 13), _FROM_13),
    "pool5": ((256, 6, 6), f"conv 512, conv 512, conv 512 p0, {_FROM_4}"),
    "fc6": ((4096,), _FROM_FC),
    "fc7": ((4096,), _FROM_FC),
    "fc8": ((1000,), _FROM_FC),
}
"""Layer of CaffeNet -> its code's shape and the published generator's plan (DeePSiM, supplement)."""

_CHANNELS = {8: (256, 512), 16: (256, 256), 32: (128, 128), 64: (64, 0), 128: (32, 0), 256: (16, 0)}
"""Side of the map -> channels of the upconvolution that reaches it and of the convolution after it (0: none),
as in the published generator of fc6."""

FULL_RESOLUTION = 48
"""Images of up to this side in pixels get hidden layers at their own resolution from `smooth` plans."""

UPCONVOLUTIONS = ("learned", "interpolated", "smooth")


def auto_plan(
    code_shape: Sequence[int],
    image_size: ImageSize,
    width: float = 1.0,
    upconvolution: str = "learned",
    channels: int = 3,
) -> str:
    """Makes a plan that follows the published generators' pattern, for any code and image size.

    Vectors (and maps of one position) start in three fully connected layers and a reshape to a 4x4 .. 7x7 map;
    maps in three convolutions that bring them to a side from which doublings reach the image; tokens in a
    reshape to their grid first. The side doubles until it is at least the image's; the rest is cropped. Of images that
    are no squares, that holds for the short side, and the long side starts from what the same doublings need.

    Args:
        code_shape: (units,), (channels, height, width) or (tokens, units).
        image_size: Side of the images in pixels, or (height, width).
        width: Scales channels and units; 1 is the published size.
        upconvolution: How the side doubles. "learned": as published, by 4x4 upconvolutions of stride 2, with 3x3
            convolutions between them. "interpolated": nearest-neighbour doubling and a 3x3 convolution (Odena et al.
            2016, "Deconvolution and checkerboard artifacts"; `dgn.networks.doubling`): a short training does not
            remove the checkerboard pattern caused by an upconvolution's overlapping taps. "smooth": the published
            pattern with bilinear doublings (Zhang 2019, "Making convolutional networks shift-invariant again"; Karras
            et al. 2020, "StyleGAN2"): repeated pixels have frequencies beyond the smaller map's, which a trained
            generator uses for a lattice of dots in place of detail. Images of up to 48 pixels also get hidden layers
            at their own resolution (`FULL_RESOLUTION`).
        channels: Number of channels of the images.

    Raises:
        UserError: If `upconvolution` is none of these, or `width` is not a positive number.
    """
    if upconvolution not in UPCONVOLUTIONS:
        raise UserError(f"generator.upconvolution={upconvolution!r}: give {' or '.join(UPCONVOLUTIONS)}")
    shape = tuple(code_shape)
    steps: list[str] = []
    short = min(sides(image_size))

    if len(shape) == 2:
        side = math.isqrt(shape[0])
        steps.append(f"grid {side}x{side}")
        shape = shape_after(parse_plan(steps[0])[0], shape)
    if len(shape) == 1 or max(shape[1:]) == 1:
        side = smallest_start(short)
        tall, wide = start_sides(side, image_size)
        steps += [f"fc {scaled(4096, width)}"] * 2
        steps += [f"fc {scaled(256, width) * tall * wide}", f"reshape {scaled(256, width)}x{tall}x{wide}"]
    else:
        side = _largest_start(min(shape[1:]), short)
        steps += _to_sides(shape, start_sides(side, image_size), scaled(512, width))
    while side < short:
        side *= 2
        up, conv = _channels(side)
        if upconvolution == "interpolated":
            steps.append(f"double {channels_at(side, width)}")
        elif upconvolution == "smooth":
            steps += _smooth_steps(side, short, width, channels)
        elif side >= short:
            steps.append(f"up {channels}")
        else:
            steps.append(f"up {scaled(up, width)}")
            steps += [f"conv {scaled(conv, width)}"] * bool(conv)
    if steps[-1] not in (f"up {channels}", f"double {channels}", f"conv {channels}"):
        steps.append(f"conv {channels}")
    return ", ".join(steps)


def start_sides(side: int, image_size: ImageSize) -> tuple[int, int]:
    """Returns height and width of the map from which doublings reach an image, if its short side is `side`."""
    height, width = sides(image_size)
    ups = math.ceil(math.log2(max(1, min(height, width) / side)))
    if height == width:
        return side, side
    tall, wide = doublings(image_size, ups)
    return (side, wide) if height < width else (tall, side)


def smallest_start(image_size: int) -> int:
    """The side in 4 .. 7 from which doublings reach the image's side with the smallest crop."""
    return min(range(4, 8), key=lambda side: side * 2 ** math.ceil(math.log2(max(1, image_size / side))))


def nearest_start(side: float, image_size: int) -> int:
    """The side nearest to `side`, as a ratio, from which doublings reach the image with the smallest crop."""
    sides = [math.ceil(image_size / 2**doublings) for doublings in range(max(1, image_size).bit_length())]
    return min(sides, key=lambda start: abs(math.log2(start / side)))


def channels_at(side: int, width: float) -> int:
    """Number of channels of a map of that side where doublings are interpolated."""
    up, conv = _channels(side)
    return scaled(conv or up, width)


def _smooth_steps(side: int, image_size: int, width: float, image_channels: int) -> list[str]:
    """The steps that reach maps of `side`.

    As published, the largest map is the image itself, except for small images: half of 32 pixels is too coarse for the
    last hidden layer.
    """
    if side >= image_size > FULL_RESOLUTION:
        return [f"double {image_channels}"]
    channels = channels_at(side, width)
    return [f"smooth {channels}"] + [f"conv {channels}"] * bool(_channels(side)[1])


def _channels(side: int) -> tuple[int, int]:
    return _CHANNELS[min(256, max(8, 2 ** round(math.log2(side))))]


def _largest_start(side: int, image_size: int) -> int:
    """The largest side up to `side` from which doublings reach the image with less than one surplus row each."""
    ups = 0
    while math.ceil(image_size / 2**ups) > side:
        ups += 1
    return math.ceil(image_size / 2**ups)


def _to_sides(shape: tuple[int, ...], sides: tuple[int, int], channels: int) -> list[str]:
    """Three convolutions from a map to one of the given sides: padded, or shrinking by 1 or 2 each."""
    _, height, width = shape
    if height != width or sides[0] != sides[1] or height - sides[0] > 6:
        return [f"conv {channels}", f"resize {sides[0]}x{sides[1]}", f"conv {channels}", f"conv {channels}"]
    surplus, steps = height - sides[0], []
    for _ in range(3):
        shrink = min(2, surplus)
        surplus -= shrink
        steps.append(f"conv {channels}" + ("", " k2 p0", " p0")[shrink])
    return steps
