"""A leaky gradient: a way up for units that a rectifier has silenced (as leaky ReLU, Maas et al. 2013).

A unit behind a ReLU, clamp or hard sigmoid that gives a constant has no gradient, however its forward is written.
`leaking` changes the backward pass alone: where such an operation passes nothing of an image's gradient back, a share
of all of it passes. An operation that passes some of it stays as it is, so that a unit that only its own ReLU silences
gets the gradient of what enters that ReLU, up to a factor: DGN-AM's published search climbs that.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

LEAK = 0.01
"""The share that passes: leaky ReLU's."""

_RECTIFIERS = (
    "Relu", "Clamp", "Hardtanh", "Threshold", "Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink", "Maximum",
    "Minimum", "Where", "MaskedFill", "Mul", "Round", "Floor", "Ceil", "Trunc",
)  # fmt: skip
"""How the backward nodes of operations begin that act on each entry alone and can be flat. Products are among them for
`x * (x > 0)`."""


@contextmanager
def leaking(values: Tensor) -> Iterator[None]:
    """Within it, a backward pass from `values` leaks through the operations of their graph that would end it."""
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
                hooks.callback(node.register_hook(_leak_of(node)).remove)
        yield


def _acts_on_entries(node: Any) -> bool:
    name = type(node).__name__
    own = name.endswith("Backward") and not name.startswith(("Compiled", "Checkpoint"))  # an autograd.Function
    return own or name.startswith(_RECTIFIERS)


Gradients = tuple[Tensor | None, ...]


def _leak_of(node: Any) -> Callable[[Gradients, Gradients], Gradients | None]:
    # Hard swish falls between its flat part and its rise; who climbs out of the flat part has to cross that.
    falls = type(node).__name__.startswith("Hardswish")

    def leak(inputs: Gradients, outputs: Gradients) -> Gradients | None:
        """inputs: what leaves the node backwards, the gradients of its inputs. outputs: what came, its output's."""
        came = outputs[0]
        if came is None or came.ndim == 0:
            return None
        return tuple(_leaked(gradient, came, falls) for gradient in inputs)

    return leak


def _leaked(gradient: Tensor | None, came: Tensor, falls: bool) -> Tensor | None:
    if gradient is None or gradient.shape != came.shape:
        return gradient
    passing = gradient * came > 0 if falls else gradient != 0
    rows = passing.reshape(len(came), -1).any(1).view(-1, *[1] * (came.ndim - 1))
    return torch.where(rows, gradient, LEAK * came)
