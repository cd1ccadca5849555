"""The custom generator: a module of the user's own code, codes in and images out.

A prior file holds its weights and the name of the code, and is opened only when the user names the code too.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from dgn.data.size import ImageSize
from dgn.errors import UserError
from dgn.networks.assemble import arguments
from dgn.networks.custom import absolute, make_module
from dgn.networks.foreign_code import format_error
from dgn.networks.generator_base import Generator
from dgn.networks.inputs import InputSpace

_BEYOND = 10.0
"""How far from black and white a pixel may be before training, in multiples of their distance.

Weights that are not trained give any values near 0; a module whose range is another one, as 0..255, gives far more.
"""


class CustomGenerator(Generator):
    """A generator of the user's own code.

    Args:
        code_shape, image_size, normalize_codes, channels: As in `Generator`.
        model: `package.module:callable` or `path/to/file.py:callable`, relative to the working directory. The callable
            returns an nn.Module that maps float32 codes (N, *code_shape) to float32 images
            (N, channels, height, width). It gets `code_shape`, `image_size` (a number, or height and width), `channels`
            and `width` if it has parameters of these names.
        args: Further arguments of the callable, plain values.
        values: The module's values of black and of white.
        width: A size of the network, for the callable.

    Raises:
        UserError: If the code is not found or fails, or if the module's images have another size, dtype or range, or
            no gradient. It is checked by one pass.
    """

    kind = "custom"

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        model: str | None = None,
        args: Mapping[str, Any] | None = None,
        values: Sequence[float] = (0.0, 1.0),
        normalize_codes: bool = True,
        width: float | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__(code_shape, image_size, space_of_values(values, channels), normalize_codes, channels)
        if not model:
            raise UserError(
                "generator=custom: which generator? give generator.model=package.module:callable or "
                "generator.model=path/to/file.py:callable"
            )
        self.model, self.args, self.width = absolute(model), arguments(args), width
        self.values = [float(value) for value in values]
        self.uncropped_size = self.image_size
        offered = {"code_shape": self.module_code_shape, "image_size": self.image_size, "width": width}
        offered["channels"] = channels
        with torch.device("cpu"), torch.inference_mode(False):  # own code may read files, and compute
            self.network = make_module(self.model, self.args, offered)
            check_module(self.network, self.model, self._example(), self.image_shape, self.values)

    @property
    def own_code(self) -> str:
        return self.model

    @property
    def module_code_shape(self) -> tuple[int, ...]:
        """The shape of the code that the callable is told."""
        return self.code_shape

    def raw(self, codes: Tensor) -> Tensor:
        images: Tensor = self.network(codes)
        return images

    def architecture(self) -> dict[str, Any]:
        return {"model": self.model, "args": self.args, "values": self.values, "width": self.width}

    def spec(self) -> dict[str, Any]:
        return {key: value for key, value in super().spec().items() if key != "output_space"}  # follows from values

    def _example(self) -> tuple[Tensor, ...]:
        """What the module is called with, for two codes."""
        return (torch.randn(2, *self.code_shape, generator=torch.Generator().manual_seed(0)),)


def space_of_values(values: Sequence[float], channels: int = 3) -> InputSpace:
    """Returns the space of images whose black and white are these two values. Raises UserError for other values."""
    black, white = _black_and_white(values)
    scale = 1.0 / (white - black)
    order = "RGB" if channels == 3 else "as_is"
    return InputSpace(mean=(-black * scale,) * channels, std=(scale,) * channels, channel_order=order)


def _black_and_white(values: Any) -> tuple[float, float]:
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 2:
        numbers = [value for value in values if isinstance(value, Real) and math.isfinite(value)]
        if len(numbers) == 2 and numbers[0] < numbers[1]:
            return float(numbers[0]), float(numbers[1])
    raise UserError(
        f"values={values}: give the module's values of black and of white, two numbers, black first: [0,1], [-1,1] or "
        "[0,255]"
    )


def check_module(
    network: nn.Module,
    model: str,
    inputs: Sequence[Tensor],
    image_shape: tuple[int, int, int] | None,
    values: Sequence[float],
) -> int:
    """Checks a module by one pass over two codes, in evaluation mode.

    Args:
        network: The module.
        model: Its name in messages.
        inputs: What it is called with; the first are two codes.
        image_shape: (channels, height, width) that its images must have; None: RGB squares of any side.
        values: Its values of black and white.

    Returns:
        The height of its images in pixels.

    Raises:
        UserError: If it fails, or its images have another shape, dtype or range, or no gradient.
    """
    shape = " and class vectors of ".join("x".join(map(str, each.shape[1:])) for each in inputs)
    codes = inputs[0].clone().requires_grad_()
    mode = network.training
    try:
        with torch.enable_grad():
            images = network.train(False)(codes, *inputs[1:])
    except Exception as error:  # user code can raise anything
        raise UserError(f"{model} cannot be run on codes of {shape}: {format_error(error)}") from error
    finally:
        network.train(mode)
    if not isinstance(images, Tensor):
        raise UserError(f"{model} gives a {type(images).__name__} for codes of {shape}; it must give images, a tensor")
    if images.dtype != torch.float32:
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(f"{model} gives images of {kind}; they must be float32 (.float() at its end)")
    given, wanted = "x".join(map(str, images.shape)), image_shape or (3, images.shape[-1], images.shape[-1])
    if images.shape != (2, *wanted):
        expected = "x".join(map(str, wanted))
        raise UserError(f"{model} gives {given} for two codes of {shape}; their images must be 2x{expected}")
    if not images.isfinite().all():
        raise UserError(f"{model} gives pixels that are NaN or infinite for codes of {shape}; check it and its weights")
    low, high = (float(value) for value in images.detach().aminmax())
    black, white = _black_and_white(values)
    margin = _BEYOND * (white - black)
    if not black - margin <= low <= high <= white + margin:
        raise UserError(
            f"{model} gives pixels of {low:.4g} .. {high:.4g}, and black and white are {black:g} and {white:g} here; "
            "say what they are, generator.values=[0,255] or [-1,1] (at an import --values 0 255 or -1 1), or check its "
            "weights"
        )
    _check_trainable(network, model, images, codes)
    return wanted[1]


def _check_trainable(network: nn.Module, model: str, images: Tensor, codes: Tensor) -> None:
    gradient = torch.autograd.grad(images.sum(), codes, allow_unused=True)[0] if images.requires_grad else None
    if gradient is None:
        raise UserError(f"{model}: no gradient passes from its images to its codes; leave out no_grad and detach")
    if any(not isinstance(tensor, Tensor) for tensor in network.state_dict().values()):
        raise UserError(f"{model}: its state_dict holds more than tensors, which no prior file can hold")
