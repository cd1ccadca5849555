"""Finds the operations of a forward pass that cut the gradient, by watching every call of torch."""

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode, resolve_name

from dgn.networks.foreign_code import user_location
from dgn.networks.layers import OUTPUT, iterate_tensors, watched

CAUSES = {
    "inference": "computed under torch.inference_mode()",
    "no_grad": "computed under torch.no_grad()",
    "checkpoint": "reentrant checkpointing: give torch.utils.checkpoint use_reentrant=False, or leave it out",
    "detached": "by detach(), .data, a round trip through numpy or a cast to whole numbers",
    "integers": "by a cast to whole numbers",
    "discrete": "by a comparison or an index, such as argmax",
    "function": "by an autograd.Function with a backward of its own",
    "zero": "a step whose gradient is 0 everywhere, such as rounding, sign or a comparison",
}
"""Causes of a cut gradient, in words."""

ROUNDING = ("round", "floor", "ceil", "trunc", "fix")
_FLAT = (*ROUNDING, "sign", "sgn", "heaviside", "floor_divide", "__floordiv__")
CASTS = ("byte", "char", "short", "int", "long", "to", "type", "half", "bfloat16", "float", "double")
_LEAVES_TORCH = ("numpy", "tolist", "item", "__array__")
_ENTERS_TORCH = ("from_numpy", "tensor", "as_tensor", "asarray")
_WITHOUT_VALUES = ("_like", "new_", "requires_grad", "size", "shape", "expand_as", "device", "dtype")


@dataclass(frozen=True)
class Cut:
    """An operation that takes a tensor with a gradient and gives one without.

    Attributes:
        place: The module in whose forward it is, and file and line if they are the user's.
        cause: A key of `CAUSES`.
        certain: Whether it detaches real values. Others (rounding, masks, indices) may be meant to have no gradient.
    """

    place: str
    cause: str
    certain: bool


@contextmanager
def noted_cuts(network: nn.Module) -> Iterator[list[Cut]]:
    """Within the block, notes the cuts of the network's forward passes in order, in the list that it gives.

    Only tensors with a gradient count: images have to require one. The modules of TorchScript are not looked into.
    """
    stack = [(OUTPUT, type(network).__name__)]

    def note(name: str, kind: str, entering: bool, value: Any) -> None:
        if name != OUTPUT and entering:
            stack.append((name, kind))
        elif name != OUTPUT:
            stack.pop()

    watch = _Watch(stack)
    with watched(network, note), watch:
        yield watch.cuts


class Uncut(TorchFunctionMode):
    """Context in which `detach`, `.data`, numpy, rounding, `no_grad` and `inference_mode` cut no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Tensor] = []  # tensors that left torch; they may come back
        self.rounded: list[tuple[Tensor, Tensor]] = []  # tensors of whole numbers, and what they were made of

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = _short(func), kwargs or {}
        if name in ("detach", "data"):
            return args[0]
        if name == "_set_grad_enabled":
            return None
        if name in _LEAVES_TORCH:
            self.left.append(args[0])
            return func(args[0].detach(), *args[1:], **kwargs)
        with torch.inference_mode(False), torch.enable_grad():
            result = func(*args, **kwargs)
            if name.strip("_") in ROUNDING and args[0].is_floating_point():
                return _through(result, args[0])
            if name in CASTS and isinstance(result, Tensor):
                return self._cast(args[0], result)
            if name in _ENTERS_TORCH:
                return next((tensor for tensor in self.left if _equal(tensor, result)), result)
            return result

    def _cast(self, tensor: Tensor, result: Tensor) -> Tensor:
        if tensor.is_floating_point() and not result.is_floating_point():
            self.rounded.append((result, tensor))
        if result.is_floating_point() and not tensor.is_floating_point():
            return next((_through(result, real) for whole, real in self.rounded if whole is tensor), result)
        return result


def _through(value: Tensor, source: Tensor) -> Tensor:
    """A tensor with these values and the gradient of their source."""
    return source + (value - source).detach()


def _equal(tensor: Tensor, result: Any) -> bool:
    return isinstance(result, Tensor) and result.shape == tensor.shape and torch.allclose(result.to(tensor), tensor)


def grad_mode() -> str:
    """The key of `CAUSES` for the reason why gradients are off at this moment; "" if they are on."""
    if torch.is_inference_mode_enabled():
        return "inference"
    if torch.is_grad_enabled():
        return ""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith("torch/utils/checkpoint.py"):
            return "checkpoint"
        if isinstance(frame.f_locals.get("ctx"), FunctionCtx):
            return "function"
        frame = frame.f_back
    return "no_grad"


def called(name: str, kind: str) -> str:
    """Names a module in a message."""
    return f"the network's forward ({kind})" if name == OUTPUT else f"{name} ({kind})"


class _Watch(TorchFunctionMode):
    def __init__(self, stack: list[tuple[str, str]]) -> None:
        super().__init__()
        self.stack = stack
        self.cuts: list[Cut] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(tensor.requires_grad for _, tensor in iterate_tensors([*args, *(kwargs or {}).values()])):
            self._note(_short(func), result)
        return result

    def _note(self, name: str, result: Any) -> None:
        if any(word in name for word in _WITHOUT_VALUES):
            return
        outputs = [tensor for _, tensor in iterate_tensors(result)]
        real = [tensor for tensor in outputs if tensor.is_floating_point()]
        if name in _LEAVES_TORCH:
            self._cut("detached", True)
        elif real and not any(tensor.requires_grad for tensor in real):
            cause = grad_mode() or "detached"
            self._cut(cause, cause not in ("function", "checkpoint"))
        elif name.strip("_") in _FLAT:
            self._cut("zero", False)
        elif outputs and not real:
            self._cut("integers" if name in CASTS else "discrete", False)

    def _cut(self, cause: str, certain: bool) -> None:
        where = user_location(traceback.extract_stack())
        self.cuts.append(Cut(f"in {called(*self.stack[-1])}{where}", cause, certain))


def _short(func: Any) -> str:
    """The name of an operation, without class and module: `detach`, `data`, `add`."""
    return str(resolve_name(func) or getattr(func, "__name__", func)).removesuffix(".__get__").rpartition(".")[2]
