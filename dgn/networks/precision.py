"""What computes in low precision: the layers of the networks, and nothing else.

With `trainer.precision=bf16-mixed` the layers of encoder, comparator, generator and discriminator compute in bfloat16,
where autocast knows that to be safe. Everything else is float32: augmentation, resizing, colour order, mean and
standard deviation, losses, penalties, statistics, metrics, averages of weights, models of codes.

So autocast is off in a step, and is switched on in one place: by `own_layers`, around the layers of a network. What
enters and what leaves them is float32. Under a caller's own `torch.autocast` the rule is the same: `full_precision`
marks what computes in float32, and networks that are called inside it compute in the caller's type.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_DEVICES = ("cpu", "cuda", "mps")
_layer_dtype: torch.dtype | None = None


@contextmanager
def low_precision(dtype: torch.dtype | None) -> Iterator[None]:
    """Within the block the layers of networks compute in `dtype` (None: float32)."""
    global _layer_dtype
    before, _layer_dtype = _layer_dtype, dtype
    try:
        yield
    finally:
        _layer_dtype = before


@contextmanager
def own_layers(device: torch.device, weights: torch.dtype = torch.float32) -> Iterator[None]:
    """Around the layers of a network, on its device: autocast to the type of `low_precision`. Without one, the
    caller's own autocast decides. A network of another type than float32 keeps its own."""
    if weights != torch.float32:
        with torch.autocast(device.type, enabled=False):
            yield
    elif _layer_dtype is not None:
        with torch.autocast(device.type, _layer_dtype):
            yield
    else:
        yield


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of what is no network's layer: the function computes in float32 whatever autocast says, and only the
    layers of networks that it calls compute in autocast's type. Tensors of low precision among its positional
    arguments enter as float32."""

    @functools.wraps(function)
    def in_float32(*args: P.args, **kwargs: P.kwargs) -> R:
        given: Any = tuple(at_least_float32(value) if isinstance(value, Tensor) else value for value in args)
        active = [device for device in _DEVICES if torch.is_autocast_enabled(device)]
        if not active:
            return function(*given, **kwargs)
        with ExitStack() as stack:
            for device in active:
                stack.enter_context(low_precision(torch.get_autocast_dtype(device)))
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*given, **kwargs)

    return in_float32


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of low precision as float32; any other as it is."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
