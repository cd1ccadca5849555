"""Objectives that a user's Python function computes, from a layer's activations or from the images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.terms import Reader
from dgn.errors import UserError
from dgn.networks.foreign_code import format_error
from dgn.networks.quoting import quoted


@dataclass(frozen=True)
class Function:
    """A function of a layer's activations, or of the images (layer `images`).

    Attributes:
        layer: the layer's name.
        source: `package.module:function` or `path/to/file.py:function`; for a function of Python code, its name.
        function: takes activations (N, ...), or images (N, 3, H, W) in [0, 1], and returns values (N,).
    """

    layer: str
    source: str
    function: Callable[[Tensor], Any] = field(compare=False, repr=False)
    label = ""

    def __str__(self) -> str:
        return f"function({self.layer},{quoted(self.source)})"

    @property
    def short(self) -> str:
        return f"function({quoted(self.source)})"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer, self.source

    def values(self, activations: Tensor) -> Tensor:
        """Returns the function's values on N images, (N,), from its layer's activations (N, ...).

        Raises:
            UserError: if the function fails, gives no value for each image, or cuts the gradient.
        """
        try:
            values = self.function(activations)
        except Exception as error:  # user code can raise anything
            raise UserError(f"{self} fails on {tuple(activations.shape)}: {format_error(error)}") from error
        if not isinstance(values, Tensor) or tuple(values.shape) != (len(activations),):
            what = f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise UserError(f"{self} gave {what} for {len(activations)} images; it must give a tensor (N,)")
        if torch.is_grad_enabled() and activations.requires_grad and not values.requires_grad:
            raise UserError(
                f"the gradient does not pass through {self}: compute it with torch's operations, or take a method "
                "without gradients, as method=cma_sphere"
            )
        return values.float()

    @staticmethod
    def reader(functions: Sequence["Function"], rows: Tensor) -> Reader:
        first = functions[0]  # a group is of one function
        return lambda activations: first.values(activations[rows])
