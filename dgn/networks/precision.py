"""Mixed precision: only the layers of the networks compute in low precision.

With `trainer.precision=bf16-mixed` the layers of encoder, comparator, generator and discriminator compute in bfloat16,
where autocast considers that safe. Everything else is float32: augmentation, resizing, colour order, mean and
standard deviation, losses, penalties, statistics, metrics, averages of weights, models of codes.

Autocast is disabled during a step and enabled in one place: by `own_layers`, around the layers of a network. Their
inputs and outputs are float32. The same holds under a caller's own `torch.autocast`: functions marked by
`full_precision` compute in float32, and networks that they call compute in the caller's dtype.
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
_fixed_too = True


@contextmanager
def low_precision(dtype: torch.dtype | None, fixed: bool = True) -> Iterator[None]:
    """Context in which the layers of networks compute in `dtype` (None: float32).

    Args:
        dtype: The dtype.
        fixed: Whether encoder and comparator do so too. On CPUs, bf16 slows networks of depthwise convolutions down.
    """
    global _layer_dtype, _fixed_too
    before = _layer_dtype, _fixed_too
    _layer_dtype, _fixed_too = dtype, fixed
    try:
        yield
    finally:
        _layer_dtype, _fixed_too = before


@contextmanager
def own_layers(device: torch.device, weights: torch.dtype = torch.float32, fixed: bool = False) -> Iterator[None]:
    """Context for the layers of a network: autocast to the dtype of `low_precision`.

    Without `low_precision`, the caller's own autocast applies. A network whose weights are not float32 keeps its dtype.

    Args:
        device: The network's device.
        weights: The dtype of the network's weights.
        fixed: Whether the network is an encoder or a comparator.
    """
    if weights != torch.float32:
        with torch.autocast(device.type, enabled=False):
            yield
    elif _layer_dtype is not None:
        with torch.autocast(device.type, _layer_dtype, enabled=_fixed_too or not fixed):
            yield
    else:
        yield


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator for functions that compute in float32 under any autocast.

    Only the layers of networks that the function calls compute in autocast's dtype. Positional arguments that are
    bfloat16 or float16 tensors are converted to float32.
    """

    @functools.wraps(function)
    def in_float32(*args: P.args, **kwargs: P.kwargs) -> R:
        converted: Any = tuple(at_least_float32(value) if isinstance(value, Tensor) else value for value in args)
        active = [device for device in _DEVICES if torch.is_autocast_enabled(device)]
        if not active:
            return function(*converted, **kwargs)
        with ExitStack() as stack:
            for device in active:
                stack.enter_context(low_precision(torch.get_autocast_dtype(device)))
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*converted, **kwargs)

    return in_float32


def at_least_float32(tensor: Tensor) -> Tensor:
    """Converts bfloat16 and float16 tensors to float32; returns others unchanged."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
