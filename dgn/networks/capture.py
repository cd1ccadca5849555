"""Reads layers while a network runs, and stops it at the deepest of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from torch import Tensor, nn

from dgn.networks.layers import OUTPUT, Layer

Point = tuple[str, bool]
"""Where a hook reads: a module's name, and whether it reads what enters the module."""


def capture(network: nn.Module, layers: Sequence[Layer], run: Callable[[], None]) -> dict[str, Tensor]:
    """Returns the activations of layers as the network computes them, by name.

    A layer that the network does not reach is left out.

    Args:
        network: The network, whose modules are hooked while it runs.
        layers: The layers.
        run: Runs the network.
    """
    captured: dict[str, Tensor] = {}
    due = {layer.name for layer in layers}
    points: dict[Point, list[Layer]] = defaultdict(list)
    for layer in layers:
        points[layer.module, layer.entering].append(layer)
    calls: Counter[Point] = Counter()

    def keep(point: Point, value: Any) -> None:
        call = calls[point]
        calls[point] += 1
        for layer in points[point]:
            if layer.call not in (None, call):
                continue
            tensor = layer.take(value)
            if tensor is not None:
                captured[layer.name] = tensor.clone() if layer.overwritten else tensor
            if layer.call is not None or call + 1 >= layer.calls:
                due.discard(layer.name)
        if not due:
            raise _Reached

    with ExitStack() as hooks:
        for point in points:
            hooks.callback(_hook(network, point, keep).remove)
        with suppress(_Reached):
            run()
    return captured


def _hook(network: nn.Module, point: Point, keep: Callable[[Point, Any], None]) -> Any:
    name, entering = point
    module = network if name == OUTPUT else network.get_submodule(name)
    if entering:
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: keep(point, (*args, *kwargs.values())), with_kwargs=True
        )
    return module.register_forward_hook(lambda _, args, out: keep(point, out))


class _Reached(BaseException):
    """Raised when the deepest requested layer is computed. A BaseException, so that networks do not catch it."""
