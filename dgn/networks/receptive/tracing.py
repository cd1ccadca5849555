"""Finds the receptive fields of a network's layers.

In one forward pass, every operation records the input rows and columns on which its results depend. This covers
branches, shortcuts and operations outside modules, and does not depend on the weights.
"""

import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dgn.networks.layers import OUTPUT, Layer
from dgn.networks.receptive.field import ReceptiveField, Track, union
from dgn.networks.receptive.rules import Operation, Tracks


def receptive_fields(
    network: nn.Module, layers: Mapping[str, Layer], run: Callable[[int], None], input_size: tuple[int, int]
) -> dict[str, ReceptiveField | None]:
    """The field of every layer.

    run: runs the network on as many images of input_size as it is given; their tensor is the first that enters the
    network.
    """
    fields: dict[str, ReceptiveField | None] = dict.fromkeys(layers)
    at: dict[tuple[str, bool], list[Layer]] = {}
    for layer in layers.values():
        at.setdefault((layer.module, layer.entering), []).append(layer)
    calls: dict[tuple[str, bool], int] = dict.fromkeys(at, 0)
    tracing = _Tracing()

    def look(point: tuple[str, bool], value: Any) -> None:
        if point == (OUTPUT, True):
            tracing.begin(next(v for v in value if isinstance(v, Tensor)))
        call = calls[point]
        calls[point] += 1
        for layer in at[point]:
            tensor = layer.take(value) if layer.call in (None, call) else None
            known = tracing.tracks(tensor) if tensor is not None else None
            if known is not None:
                rows, columns = (_of_layer(track, layer) for track in known)
                fields[layer.name] = ReceptiveField(rows, columns, input_size)

    with ExitStack() as hooks:
        for point in at:
            name, entering = point
            module = network if name == OUTPUT else network.get_submodule(name)
            if entering:
                hook = module.register_forward_pre_hook(
                    lambda _, args, kwargs, p=point: look(p, (*args, *kwargs.values())), with_kwargs=True
                )
            else:
                hook = module.register_forward_hook(lambda _, args, out, p=point: look(p, out))
            hooks.callback(hook.remove)
        with tracing:
            run(1)
    return fields


def _of_layer(track: Track, layer: Layer) -> Track:
    """A track of a module's tensor as one of the layer's activations, where they are arranged otherwise."""
    if track.dim is None:
        return track
    if layer.batch_axis or layer.windows > 1:
        return track.of_all(exact=False)
    wanted = {3: (2, 3) if not layer.channels_last else (1, 2), 2: (1,)}.get(len(layer.shape), ())
    return track if track.dim in wanted else track.of_all(exact=False)


class _Tracing(TorchDispatchMode):
    """Runs operations unchanged, and records what each tensor depends on."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[weakref.ref, Tracks]] = {}

    def begin(self, images: Tensor) -> None:
        """images: (N, 3, H, W), whose every place depends on itself."""
        height, width = images.shape[-2:]
        self._keep(images, (Track(2, height, 1, 0, 0), Track(3, width, 1, 0, 0)))

    def tracks(self, tensor: Tensor) -> Tracks | None:
        """The track of a tensor; None if it depends on no input that was traced."""
        there = self._known.get(id(tensor))
        return there[1] if there is not None and there[0]() is tensor else None

    def _keep(self, tensor: Tensor, tracks: Tracks) -> None:
        self._known[id(tensor)] = weakref.ref(tensor), tracks

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        operands = [(tensor, self.tracks(tensor)) for tensor in _flat((args, kwargs))]
        given = [(tensor, known) for tensor, known in operands if known is not None]
        before = {id(t): (known, t.shape) for t, known in given}
        out = func(*args, **kwargs)
        if not given:
            return out

        def tracks(value: Any) -> Tracks | None:
            return before[id(value)][0] if isinstance(value, Tensor) and id(value) in before else None

        for tensor in _flat(out):
            axes = []
            for axis in (0, 1):
                sources = [(before[id(t)][0][axis], before[id(t)][1]) for t, _ in given]
                operation = Operation(func, args, kwargs, tensor, axis, tracks)
                axes.append(operation.result(sources))
            self._keep(tensor, (axes[0], axes[1]))
            base = tensor._base
            old = self.tracks(base) if base is not None and func._schema.is_mutable else None
            if base is not None and old is not None:
                # A part of a tensor was changed in place: all of it may depend on what came in.
                rows, columns = (union([a.of_all(False), b.of_all(False)]) for a, b in zip(axes, old, strict=True))
                self._keep(base, (rows, columns))
        return out


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for inner in value for t in _flat(inner)] if isinstance(value, tuple | list) else []
