"""Layers of a network: found by running it once, named, and read as activations (N, ...).

A layer's name is its module's name, followed by up to three suffixes:

    layer4.1.conv2           the module's output (the first tensor of several)
    layer4.1.relu@0          the output of its first call; without @, of its last call
    fc:input                 the module's input
    backbone:1  head:aux     another tensor of a module that returns a tuple, list or dict
    encoder.ln:class         the class token of tokens, a vector
    layer4:mean              the mean over a map's positions, or over tokens: a vector
    sae(FILE)  dict(FILE)    the latents of a dictionary that reads a layer (dgn.networks.dictionaries)
    sae(FILE):pre            these before the activation function that makes them sparse
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

OUTPUT = "output"
"""The name of the output of the whole network."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as observed with probe images.

    Attributes:
        name: The layer's name, see the module's docstring.
        shape: Shape of the activations without the batch: (units,), (channels, height, width) or (tokens, units).
        kind: The module's class name.
        module: The name of the module at which the layer is read.
        entering: Whether it is the module's input instead of its output.
        port: Which of several tensors it is; "" for the first.
        call: At which call of the module it is read; None for the last.
        calls: How often a forward pass calls the module.
        overwritten: Whether the network later changes this tensor in place, so that it must be copied.
        channels_last: Whether the module returns (N, height, width, channels), as Swin's and ConvNeXt's blocks do.
        batch_axis: The batch dimension of the module's tensor.
        windows: How many rows of the batch dimension belong to one image (Swin's attention works on windows); they
            become tokens.
        same_as: The innermost layer that returned the same tensor, at the call that returned it: `layer4` returns
            the output of the last call of `layer4.1.relu`, and `layer4.0.relu@0:input` is the output of
            `layer4.0.bn1`.
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
        """Number of units: the channels of a map, the features of a vector or of tokens."""
        return self.shape[0] if len(self.shape) == 3 else self.shape[-1]

    @property
    def plain(self) -> bool:
        """Whether it is the output of a module, without any suffix."""
        return self.name == self.module != OUTPUT

    @property
    def is_map(self) -> bool:
        """Whether it has several positions: a map larger than 1x1, or more than one token."""
        return (len(self.shape) == 3 and min(self.shape[1:]) > 1) or (len(self.shape) == 2 and self.shape[0] > 1)

    def take(self, value: Any) -> Tensor | None:
        """Selects the layer's tensor from the module's input or output."""
        return dict(iterate_tensors(value)).get(self.port)

    def arrange(self, tensor: Tensor, images: int) -> Tensor:
        """Converts the module's tensor for `images` images to activations (N, *shape)."""
        tensor = tensor.movedim(self.batch_axis, 0)
        if self.windows > 1:
            further = tensor.shape[1:]
            merged = (self.windows, *further) if len(further) == 1 else (self.windows * further[0], *further[1:])
            tensor = tensor.reshape(images, *merged)
        return tensor.movedim(-1, 1) if self.channels_last else tensor


def probe(network: nn.Module, run: Callable[[int, int], None], square: bool) -> dict[str, Layer]:
    """Finds every layer of a forward pass.

    Args:
        network: The network.
        run: Runs the network on a number of images that are a number of pixels larger than the network's own size.
        square: Whether these images are square.

    Returns:
        The layers by name, in the order of their last call.
    """
    notes = _observe(network, lambda: run(2, 0))
    plain = {key: note for key, note in notes.items() if note.tensor.shape[0] == 2}
    if len(plain) < len(notes):
        # Some tensors have their batch dimension elsewhere: a run with one image shows where.
        plain |= _with_other_batches(notes, _observe(network, lambda: run(1, 0)))
        plain = {key: plain[key] for key in notes if key in plain}
    layers = {key: note.layer for key, note in plain.items()}
    # With square images, the two equal sides are height and width; if all three are equal, another image size decides.
    maps = {key: layer.shape for key, layer in layers.items() if len(layer.shape) == 3}
    unclear = [key for key, shape in maps.items() if not square or len(set(shape)) == 1]
    larger = _observe(network, lambda: run(2, 64)) if any(max(layers[key].shape) > 1 for key in unclear) else {}
    for key, layer in layers.items():
        if len(layer.shape) == 3 and layer.windows == 1 and layer.batch_axis == 0:
            at = larger[key].layer.shape if key in unclear and key in larger else None
            if _is_channels_last(layer.shape, at, key in unclear):
                layers[key] = replace(layer, shape=(layer.shape[2], *layer.shape[:2]), channels_last=True)
    return layers


def iterate_tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors in a module's input or output with their ports.

    The port is "" for the first tensor, and the path to it for the others: `1`, `aux`, `0.1`.
    """
    for i, (port, tensor) in enumerate(_walk(value, path)):
        yield (port if i else "", tensor)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if is_dataclass(value) and not isinstance(value, type | Mapping):
        value = {entry.name: getattr(value, entry.name) for entry in fields(value)}
    if hasattr(value, "_asdict"):  # named tuples, and outputs of transformers that resemble them
        value = value._asdict()
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, tuple | list):
        entries = enumerate(value)
    for name, inner in entries:
        yield from _walk(inner, f"{path}.{name}" if path else str(name))


@contextmanager
def watched(network: nn.Module, note: Callable[[str, str, bool, Any], None]) -> Iterator[None]:
    """Within the block, calls of the network pass what enters and leaves each of its modules to `note`.

    Args:
        network: The network. Its TorchScript modules are left out, as they do not support hooks.
        note: Called with the module's name (`OUTPUT` for the network itself), its class's name, whether the value
            enters the module, and the value.
    """
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            name, kind = name or OUTPUT, type(module).__name__
            pre = module.register_forward_pre_hook(
                lambda _, args, kwargs, n=name, k=kind: note(n, k, True, (*args, *kwargs.values())), with_kwargs=True
            )
            post = module.register_forward_hook(lambda _, args, out, n=name, k=kind: note(n, k, False, out))
            hooks.callback(pre.remove)
            hooks.callback(post.remove)
        yield


@dataclass
class _Note:
    layer: Layer
    tensor: Tensor
    version: int


def _observe(network: nn.Module, run: Callable[[], None]) -> dict[str, _Note]:
    """Records the inputs and outputs of all modules in a forward pass, up to the point where `run` ends."""
    notes: dict[str, _Note] = {}
    calls: dict[tuple[str, bool], int] = defaultdict(int)
    alive: list[Tensor] = []  # keeps ids unique
    first: dict[tuple[int, int], tuple[str, int, str]] = {}  # by tensor and version: module, call, ending
    source: dict[str, tuple[str, int, str]] = {}

    def note(module: str, kind: str, entering: bool, value: Any) -> None:
        call = calls[module, entering]
        calls[module, entering] += 1
        for port, tensor in iterate_tensors(value):
            if tensor.ndim < 2 or not tensor.is_floating_point() or (entering and port):
                continue
            ending = (":input" if entering else "") + (f":{port}" if port else "")
            alive.append(tensor)
            version = -1 if tensor.is_inference() else tensor._version  # -1: no version counter
            if not entering and version >= 0:
                first.setdefault((id(tensor), version), (module, call, ending))
            for name, which in ((f"{module}@{call}{ending}", call), (module + ending, None)):
                layer = Layer(name, tuple(tensor.shape[1:]), kind, module, entering, port, which)
                notes.pop(name, None)  # in the order of the last call
                notes[name] = _Note(layer, tensor, version)
                source[name] = first.get((id(tensor), version), ("", 0, ""))

    with torch.no_grad(), watched(network, note):
        run()

    def call_name(module: str, call: int, ending: str) -> str:
        last = call + 1 == calls[module, False]
        return module + ending if last else f"{module}@{call}{ending}"

    observed = {}
    for name, entry in notes.items():
        layer, count = entry.layer, calls[entry.layer.module, entry.layer.entering]
        if layer.call is not None and count == 1:
            continue  # called once: the name without @ is enough
        changed = entry.version < 0 or entry.tensor._version != entry.version
        same_as = call_name(*source[name]) if source[name][0] else ""
        entry.layer = replace(layer, calls=count, overwritten=changed, same_as=same_as)
        observed[name] = entry
    return observed


def _with_other_batches(pairs: Mapping[str, _Note], singles: Mapping[str, _Note]) -> dict[str, _Note]:
    """Returns the layers whose batch dimension is not simply the first, from the notes of two images and of one.

    Their batch dimension is twice as long for two images as for one, and the entries of the first image come first.
    Other tensors (position embeddings) belong to no image and are left out.
    """
    layers = {}
    for key, pair in pairs.items():
        single = singles.get(key)
        if pair.tensor.shape[0] == 2 or single is None or single.tensor.ndim != pair.tensor.ndim:
            continue
        axes = [i for i in range(pair.tensor.ndim) if pair.tensor.shape[i] != single.tensor.shape[i]]
        if len(axes) != 1 or pair.tensor.shape[axes[0]] != 2 * single.tensor.shape[axes[0]]:
            continue
        axis, windows = axes[0], single.tensor.shape[axes[0]]
        mine = pair.tensor.narrow(axis, 0, windows)
        if (axis and windows > 1) or not torch.allclose(mine, single.tensor, rtol=1e-2, atol=1e-3, equal_nan=True):
            continue
        layer = replace(pair.layer, batch_axis=axis, windows=windows)
        layers[key] = replace(pair, layer=replace(layer, shape=tuple(layer.arrange(single.tensor, 1).shape[1:])))
    return layers


def _is_channels_last(shape: tuple[int, ...], larger: tuple[int, ...] | None, unclear: bool) -> bool:
    if not unclear:
        return shape[0] == shape[1] != shape[2]
    if larger is None or len(larger) != 3:
        return False
    return larger[0] != shape[0] and larger[2] == shape[2]
