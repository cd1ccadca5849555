"""The generator of noise and a class, in the user's own code: one code holds both."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgn.data.size import ImageSize
from dgn.errors import UserError
from dgn.networks.custom_generator import CustomGenerator


class ConditionalGenerator(CustomGenerator):
    """A module that is called with noise and a class vector, as BigGAN and class-conditional StyleGANs are.

    The first units of a code are the noise, the others choose the class vector: either they are it, or their softmax is
    (a mixture of classes, in which a class has weight 1 where its unit is far above the others).

    Args:
        code_shape: (units,), of noise and class together; that of the noise if the class is given.
        image_size, model, args, values, normalize_codes, width, channels: As in `CustomGenerator`; the module maps
            noise (N, *noise_shape) and class vectors (N, D) to images.
        noise_shape: The shape of the noise.
        softmax: Whether the class vector is the softmax of the code's units.
        class_vector: One class vector that is always given, (D,); the code is the noise alone.
    """

    kind = "custom_conditional"

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        model: str | None = None,
        args: Mapping[str, Any] | None = None,
        values: Sequence[float] = (0.0, 1.0),
        normalize_codes: bool = False,
        width: float | None = None,
        noise_shape: Sequence[int] = (),
        softmax: bool = False,
        class_vector: Sequence[float] | None = None,
        channels: int = 3,
    ) -> None:
        self.noise_shape, self.softmax = tuple(int(n) for n in noise_shape), softmax
        self.given_class = None if class_vector is None else [float(value) for value in class_vector]
        self.noise_units = math.prod(self.noise_shape)
        units = math.prod(code_shape)
        if (units == self.noise_units) != (class_vector is not None) or units < self.noise_units:
            raise UserError(f"a code of {units} units does not hold noise of {self.noise_units} units and a class")
        super().__init__(code_shape, image_size, model, args, values, normalize_codes, width, channels)

    @property
    def module_code_shape(self) -> tuple[int, ...]:
        return self.noise_shape

    def raw(self, codes: Tensor) -> Tensor:
        images: Tensor = self.network(*self.split(codes))
        return images

    def split(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Maps codes (N, units) to noise (N, *noise_shape) and class vectors (N, D)."""
        flat = codes.flatten(1)
        noise, classes = flat[:, : self.noise_units], flat[:, self.noise_units :]
        if self.given_class is not None:
            classes = codes.new_tensor(self.given_class).expand(len(codes), -1)
        elif self.softmax:
            classes = classes.softmax(1)
        return noise.unflatten(1, self.noise_shape), classes

    def architecture(self) -> dict[str, Any]:
        own = {"noise_shape": list(self.noise_shape), "softmax": self.softmax, "class_vector": self.given_class}
        return super().architecture() | own

    def _example(self) -> tuple[Tensor, ...]:
        return self.split(torch.randn(2, *self.code_shape, generator=torch.Generator().manual_seed(0)))
