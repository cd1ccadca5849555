"""Layers: what there is to see in a network, found by running it once; their names; and how what a module gives
becomes activations (N, ...).

A layer's name is its module's, with up to three things behind it:

    layer4.1.conv2           what the module gives (of several tensors, the first)
    layer4.1.relu@0          what it gave when it was called for the first time; without @, the last
    fc:input                 what enters the module
    backbone:1  head:aux     a further tensor of a module that gives a tuple, list or dict
    encoder.ln:class         the class token of tokens, a vector
    layer4:mean              the mean over a map's positions, or over tokens: a vector
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

OUTPUT = "output"
"""The name of what the network as a whole gives."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as probe images met it.

    name: as above. shape: of its activations, without the batch: (units,), (channels, height, width) or
        (tokens, units). kind: the module's class.
    module, entering, port, call: where it is read: the module's own name, at its input or its output, which tensor
        of several, and at which call (None: the last).
    calls: how often a forward pass calls the module.
    overwritten: whether the network later changes this tensor in place, so that it must be copied to be kept.
    channels_last: whether the module gives (N, height, width, channels), as Swin's and ConvNeXt's blocks do.
    batch_axis, windows: where the module's tensor has the images, and how many of its rows belong to one image
        (Swin's attention sees windows); they become tokens.
    same_as: the innermost layer that gave this very tensor, at the call that gave it: `layer4` gives what
        `layer4.1.relu` gave in its last call, `layer4.0.relu@0:input` what `layer4.0.bn1` gave.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    module: str
    entering: bool = False
    port: str = ""
    call: int | None = None
    calls: int = 1
    overwritten: bool = False
    channels_last: bool = False
    batch_axis: int = 0
    windows: int = 1
    same_as: str = ""

    @property
    def units(self) -> int:
        """Units of the layer: its channels for a map, its features for a vector or tokens."""
        return self.shape[0] if len(self.shape) == 3 else self.shape[-1]

    @property
    def plain(self) -> bool:
        """Whether it is simply what a module of the network gives."""
        return self.name == self.module != OUTPUT

    @property
    def is_map(self) -> bool:
        """Whether it has positions: a map of more than one, or tokens."""
        return (len(self.shape) == 3 and min(self.shape[1:]) > 1) or (len(self.shape) == 2 and self.shape[0] > 1)

    def take(self, value: Any) -> Tensor | None:
        """The layer's tensor in what enters or leaves the module."""
        return dict(tensors_of(value)).get(self.port)

    def arrange(self, tensor: Tensor, images: int) -> Tensor:
        """The module's tensor for so many images -> activations (N, *shape)."""
        tensor = tensor.movedim(self.batch_axis, 0)
        if self.windows > 1:
            further = tensor.shape[1:]
            merged = (self.windows, *further) if len(further) == 1 else (self.windows * further[0], *further[1:])
            tensor = tensor.reshape(images, *merged)
        return tensor.movedim(-1, 1) if self.channels_last else tensor


def probe(network: nn.Module, run: Callable[[int, int], None], square: bool) -> dict[str, Layer]:
    """Every layer that a forward pass meets, by name, in the order in which they are last given.

    run: runs the network on so many images, so many pixels larger than its own size. square: whether they are."""
    found = _observe(network, lambda: run(2, 0))
    plain = {key: note for key, note in found.items() if note.tensor.shape[0] == 2}
    if len(plain) < len(found):
        # A tensor that has its images elsewhere: one image tells where.
        plain |= _with_other_batches(found, _observe(network, lambda: run(1, 0)))
        plain = {key: plain[key] for key in found if key in plain}
    layers = {key: note.layer for key, note in plain.items()}
    # On square images the two sides that are equal are height and width; where all three are, another size tells.
    unclear = [key for key, one in layers.items() if len(one.shape) == 3 and (not square or len(set(one.shape)) == 1)]
    larger = _observe(network, lambda: run(2, 64)) if any(max(layers[key].shape) > 1 for key in unclear) else {}
    for key, layer in layers.items():
        if len(layer.shape) == 3 and layer.windows == 1 and layer.batch_axis == 0:
            at = larger[key].layer.shape if key in unclear and key in larger else None
            if _is_channels_last(layer.shape, at, key in unclear):
                layers[key] = replace(layer, shape=(layer.shape[2], *layer.shape[:2]), channels_last=True)
    return layers


def tensors_of(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in what a module takes or gives, each with its port: "" for the first, then its place among the
    others: `1`, `aux`, `0.1`."""
    for i, (port, tensor) in enumerate(_walk(value, path)):
        yield (port if i else "", tensor)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if is_dataclass(value) and not isinstance(value, type | Mapping):
        value = {entry.name: getattr(value, entry.name) for entry in fields(value)}
    if hasattr(value, "_asdict"):  # a named tuple, and transformers' outputs that are made like one
        value = value._asdict()
    entries = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, tuple | list) else ()
    )
    for name, inner in entries:
        yield from _walk(inner, f"{path}.{name}" if path else str(name))


@dataclass
class _Note:
    layer: Layer
    tensor: Tensor
    version: int


def _observe(network: nn.Module, run: Callable[[], None]) -> dict[str, _Note]:
    """What a forward pass gives, module by module. Where `run` ends early, what came before that."""
    notes: dict[str, _Note] = {}
    calls: dict[tuple[str, bool], int] = defaultdict(int)
    alive: list[Tensor] = []  # so that no two tensors have one id
    first: dict[tuple[int, int], tuple[str, int, str]] = {}  # by tensor and version: module, call, ending
    source: dict[str, tuple[str, int, str]] = {}

    def note(module: str, kind: str, entering: bool, value: Any) -> None:
        call = calls[module, entering]
        calls[module, entering] += 1
        for port, tensor in tensors_of(value):
            if tensor.ndim < 2 or not tensor.is_floating_point() or (entering and port):
                continue
            ending = (":input" if entering else "") + (f":{port}" if port else "")
            alive.append(tensor)
            version = -1 if tensor.is_inference() else tensor._version  # -1: it is not counted
            if not entering and version >= 0:
                first.setdefault((id(tensor), version), (module, call, ending))
            for name, which in ((f"{module}@{call}{ending}", call), (module + ending, None)):
                layer = Layer(name, tuple(tensor.shape[1:]), kind, module, entering, port, which)
                notes.pop(name, None)  # in the order of the last call
                notes[name] = _Note(layer, tensor, version)
                source[name] = first.get((id(tensor), version), ("", 0, ""))

    with ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it takes no hooks
            name, kind = name or OUTPUT, type(module).__name__
            pre = module.register_forward_pre_hook(
                lambda _, args, kwargs, n=name, k=kind: note(n, k, True, (*args, *kwargs.values())), with_kwargs=True
            )
            post = module.register_forward_hook(lambda _, args, out, n=name, k=kind: note(n, k, False, out))
            hooks.callback(pre.remove)
            hooks.callback(post.remove)
        run()

    def name_of(module: str, call: int, ending: str) -> str:
        last = call + 1 == calls[module, False]
        return module + ending if last else f"{module}@{call}{ending}"

    found = {}
    for name, entry in notes.items():
        layer, count = entry.layer, calls[entry.layer.module, entry.layer.entering]
        if layer.call is not None and count == 1:
            continue  # called once: the name without @ says it
        changed = entry.version < 0 or entry.tensor._version != entry.version
        same_as = name_of(*source[name]) if source[name][0] else ""
        entry.layer = replace(layer, calls=count, overwritten=changed, same_as=same_as)
        found[name] = entry
    return found


def _with_other_batches(of_two: Mapping[str, _Note], of_one: Mapping[str, _Note]) -> dict[str, _Note]:
    """The layers whose images are not simply the first axis: one axis is twice as long for two images as for one,
    and what belongs to the first image comes first. Others (tables of positions) belong to no image."""
    found = {}
    for key, two in of_two.items():
        one = of_one.get(key)
        if two.tensor.shape[0] == 2 or one is None or one.tensor.ndim != two.tensor.ndim:
            continue
        axes = [i for i in range(two.tensor.ndim) if two.tensor.shape[i] != one.tensor.shape[i]]
        if len(axes) != 1 or two.tensor.shape[axes[0]] != 2 * one.tensor.shape[axes[0]]:
            continue
        axis, windows = axes[0], one.tensor.shape[axes[0]]
        mine = two.tensor.narrow(axis, 0, windows)
        if (axis and windows > 1) or not torch.allclose(mine, one.tensor, rtol=1e-2, atol=1e-3, equal_nan=True):
            continue
        layer = replace(two.layer, batch_axis=axis, windows=windows)
        found[key] = replace(two, layer=replace(layer, shape=tuple(layer.arrange(one.tensor, 1).shape[1:])))
    return found


def _is_channels_last(shape: tuple[int, ...], larger: tuple[int, ...] | None, unclear: bool) -> bool:
    if not unclear:
        return shape[0] == shape[1] != shape[2]
    if larger is None or len(larger) != 3:
        return False
    return larger[0] != shape[0] and larger[2] == shape[2]
