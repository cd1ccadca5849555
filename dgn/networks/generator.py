"""The upconvolutional generator G_l: codes of layer l in, images out (Dosovitskiy & Brox 2016, supplement).

Every generator is built from a plan (`dgn.networks.plan`): that of a published DeePSiM network, or an automatic plan
that follows their pattern (`dgn.networks.generator_plans`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from dgn.data.channels import in_words
from dgn.data.size import ImageSize
from dgn.data.size import image_size as as_size
from dgn.errors import UserError
from dgn.networks.code_layouts import Grid, Reshape, Resize
from dgn.networks.doubling import Doubling, half_upconvolution
from dgn.networks.generator_base import Generator
from dgn.networks.generator_plans import PUBLISHED, auto_plan
from dgn.networks.inputs import InputSpace
from dgn.networks.plan import PlanStep, parse_plan, shape_after

PUBLISHED_OUTPUT = InputSpace(mean=(104.0, 117.0, 123.0), channel_order="BGR", value_range=255.0)
"""Output of the published generators: BGR, 0..255, mean subtracted. Those that end in tanh have std 255."""


class UpconvGenerator(Generator):
    """The generator G_l.

    Leaky ReLU 0.3 follows every layer with weights except the last. From the first upconvolution on, layers have no
    bias (the published parameter counts show this for the 3x3 convolutions in between as well).

    Args:
        code_shape: Shape of one code: (units,), (channels, height, width) or (tokens, units).
        image_size: Side of square images in pixels, or (height, width); larger outputs of the plan are center-cropped.
        plan: The architecture; None: `auto_plan(code_shape, image_size, width, upconvolution, channels)`.
        width: Scales channels and units of the automatic plan; 1 is the published size.
        output_space, normalize_codes: As in `Generator`.
        upconvolution: "learned" or "interpolated", for the automatic plan.
        channels: Number of channels of the images.

    Raises:
        UserError: If plan, code shape and image size do not match.
    """

    kind = "upconv"

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        plan: str | None = None,
        width: float = 1.0,
        output_space: InputSpace | Mapping[str, Any] | None = None,
        normalize_codes: bool = True,
        upconvolution: str = "learned",
        channels: int = 3,
    ) -> None:
        super().__init__(code_shape, image_size, output_space, normalize_codes, channels)
        self.plan = plan or auto_plan(self.code_shape, self.image_size, width, upconvolution, channels)
        steps, shape = parse_plan(self.plan), self.code_shape
        self.uncropped_size = _final_size(steps, shape, self.image_shape)
        last = max(i for i, step in enumerate(steps) if step.has_weights)
        self.layers = nn.Sequential()
        for i, step in enumerate(steps):
            after = shape_after(step, shape)
            upconvolutional = any(earlier.doubles for earlier in steps[:i])
            self.layers.extend(_modules(step, shape, after, bias=not upconvolutional))
            if step.has_weights and i != last:
                self.layers.append(nn.LeakyReLU(0.3, inplace=True))
            shape = after
        self.apply(_initialize)

    def raw(self, codes: Tensor) -> Tensor:
        images: Tensor = self.layers(codes)
        return images

    def raw_half(self, codes: Tensor) -> Tensor:
        """The last doubling gives the means of 2x2 pixels, and the layers after it see maps of half the side.

        These are the means of `raw` if the doubling is the last layer, as in the automatic plans with learned and,
        above 48 pixels, with smooth upconvolutions.
        """
        layers = list(self.layers)
        last = max((i for i, layer in enumerate(layers) if isinstance(layer, _DOUBLES)), default=-1)
        if last < 0 or not all(_keeps_side(layer) for layer in layers[last + 1 :]):
            return super().raw_half(codes)
        x: Tensor = self.layers[:last](codes)
        doubling = layers[last]
        if isinstance(doubling, Doubling):
            x = doubling.halved(x)
        else:
            assert isinstance(doubling, nn.ConvTranspose2d)
            x = half_upconvolution(x, doubling.weight)
        images: Tensor = self.layers[last + 1 :](x)
        return images

    def architecture(self) -> dict[str, Any]:
        return {"plan": self.plan}

    def upconvolutions(self) -> list[nn.Module]:
        """Returns the layers with weights from the first 4x4 upconvolution (`up`) on.

        The 3x3 convolutions of stride 1 between the published networks' upconvolutions are Deconvolution layers too;
        DeePSiM applies weight decay to none of these.
        """
        layers = list(self.layers)
        first = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.ConvTranspose2d)), len(layers))
        return [layer for layer in layers[first:] if hasattr(layer, "weight")]


def published_generator(
    layer: str, code_shape: Sequence[int] | None = None, image_size: ImageSize = 227, channels: int = 3
) -> UpconvGenerator:
    """The published generator of a CaffeNet layer: 256 px (240 for norm1 and norm2), centre-cropped to 227.

    Args:
        layer: A key of `PUBLISHED`.
        code_shape: Shape of the encoder's codes, checked against the published shape.
        image_size: Side of the data's images in pixels; must be 227.
        channels: Number of channels of the data's images; must be 3.

    Raises:
        UserError: If the layer has no published generator, or shape or size differ from the published ones.
    """
    if layer not in PUBLISHED:
        raise UserError(f"no published generator for layer {layer!r}; there are: {', '.join(PUBLISHED)}")
    published_shape, plan = PUBLISHED[layer]
    if code_shape is not None and tuple(code_shape) != published_shape:
        raise UserError(
            f"the published generator of {layer} takes codes {'x'.join(map(str, published_shape))}, and the encoder's "
            f"are {'x'.join(map(str, code_shape))}; choose encoder=caffenet, or generator=upconv"
        )
    if channels != 3:
        raise UserError(f"the published generators make RGB images, not of {in_words(channels)}; give generator=upconv")
    if image_size != 227:
        raise UserError(f"the published generators make images of 227 px, not {image_size}; set data.image_size=227")
    std = (255.0,) * 3 if plan.endswith("tanh") else (1.0,) * 3
    space = InputSpace(mean=PUBLISHED_OUTPUT.mean, std=std, channel_order="BGR", value_range=255.0)
    return UpconvGenerator(published_shape, image_size, plan, output_space=space, normalize_codes=False)


_DOUBLES = (Doubling, nn.ConvTranspose2d)


def _keeps_side(layer: nn.Module) -> bool:
    """Whether maps keep their side in a layer of a plan."""
    if isinstance(layer, nn.Conv2d):
        return layer.stride == (1, 1) and 2 * int(layer.padding[0]) == layer.kernel_size[0] - 1
    return isinstance(layer, nn.LeakyReLU | nn.Tanh | nn.Sigmoid)


def _final_size(steps: Sequence[PlanStep], shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> ImageSize:
    if not any(step.has_weights for step in steps):
        raise UserError("a generator's plan needs at least one of `fc`, `conv` and `up`")
    for step in steps:
        shape = shape_after(step, shape)
    channels, height, width = image_shape
    if len(shape) != 3 or shape[0] != channels or shape[1] < height or shape[2] < width:
        raise UserError(
            f"generator's plan ends in {'x'.join(map(str, shape))}; it must end in {channels} "
            f"{'channel' if channels == 1 else 'channels'} of at least {height}x{width}, the image's size"
        )
    return as_size(shape[1:])


def _modules(step: PlanStep, before: tuple[int, ...], after: tuple[int, ...], bias: bool) -> list[nn.Module]:
    sizes = [int(n) for n in step.size]
    match step.kind:
        case "fc":
            flatten = [nn.Flatten()] if len(before) > 1 else []
            return [*flatten, nn.Linear(math.prod(before), step.width)]
        case "conv":
            return [nn.Conv2d(before[0], step.width, step.kernel, step.stride, step.padding, bias=bias)]
        case "up":
            return [nn.ConvTranspose2d(before[0], step.width, 4, 2, 1, bias=False)]
        case "double":
            return [Doubling(before[0], step.width)]
        case "smooth":
            return [Doubling(before[0], step.width, smooth=True)]
        case "reshape":
            return [Reshape(after)]
        case "grid":
            return [Grid(*sizes)]
        case "resize":
            return [Resize(*sizes)]
        case "tanh":
            return [nn.Tanh()]
        case "sigmoid":
            return [nn.Sigmoid()]
    raise UserError(f"plan step `{step.kind}` is not for a generator")


def _initialize(module: nn.Module) -> None:
    """MSRA initialization for leaky ReLU 0.3.

    The fan-in counts the taps that reach one output: four of the 4x4 taps of an upconvolution with stride 2.
    """
    if isinstance(module, nn.Linear | nn.Conv2d | Doubling):
        nn.init.kaiming_normal_(module.weight, a=0.3, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.ConvTranspose2d):
        fan_in = module.in_channels * math.prod(module.kernel_size) / math.prod(module.stride)
        nn.init.normal_(module.weight, std=math.sqrt(2 / (1 + 0.3**2) / fan_in))
