"""A leaky gradient for units that a rectifier has silenced (as leaky ReLU, Maas et al. 2013).

A unit behind a ReLU, clamp or hard sigmoid with constant output has zero gradient. `leaking` changes only the
backward pass: if such an operation blocks the whole gradient of an image, a fraction of that gradient passes instead.
An operation that passes part of the gradient is unchanged. A unit that is silenced only by its own ReLU therefore
gets the gradient of that ReLU's input, up to a factor, which is what DGN-AM's published search follows.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

LEAK = 0.01
"""The fraction of the gradient that passes, as in leaky ReLU."""

_RECTIFIERS = (
    "Relu", "Clamp", "Hardtanh", "Threshold", "Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink", "Maximum",
    "Minimum", "Where", "MaskedFill", "Mul", "Round", "Floor", "Ceil", "Trunc",
)  # fmt: skip
"""Prefixes of the names of backward nodes of elementwise operations that can be flat. Products are included for
`x * (x > 0)`."""


@contextmanager
def leaking(values: Tensor) -> Iterator[None]:
    """Context manager in which a backward pass from `values` leaks through the operations that would block it."""
    with ExitStack() as hooks:
        seen, open_ = set(), [values.grad_fn]
        while open_:
            node = open_.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            inner = [entry for entry, _ in node.next_functions]
            open_ += inner
            if _acts_on_entries(node) and len([n for n in inner if n is not None]) == 1:
                hooks.callback(node.register_hook(_leak_hook(node)).remove)
        yield


def _acts_on_entries(node: Any) -> bool:
    name = type(node).__name__
    own = name.endswith("Backward") and not name.startswith(("Compiled", "Checkpoint"))  # an autograd.Function
    return own or name.startswith(_RECTIFIERS)


Gradients = tuple[Tensor | None, ...]


def _leak_hook(node: Any) -> Callable[[Gradients, Gradients], Gradients | None]:
    # Hard swish decreases between its flat part and its rise; ascent out of the flat part has to cross this range.
    falls = type(node).__name__.startswith("Hardswish")

    def leak(inputs: Gradients, outputs: Gradients) -> Gradients | None:
        """Replaces the gradients of the node's inputs, given the gradients of its outputs."""
        incoming = outputs[0]
        if incoming is None or incoming.ndim == 0:
            return None
        return tuple(_leaked(gradient, incoming, falls) for gradient in inputs)

    return leak


def _leaked(gradient: Tensor | None, incoming: Tensor, falls: bool) -> Tensor | None:
    if gradient is None or gradient.shape != incoming.shape:
        return gradient
    passing = gradient * incoming > 0 if falls else gradient != 0
    rows = passing.reshape(len(incoming), -1).any(1).view(-1, *[1] * (incoming.ndim - 1))
    return torch.where(rows, gradient, LEAK * incoming)
