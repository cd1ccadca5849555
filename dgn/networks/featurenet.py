"""FeatureNet: a fixed network seen from image space. Images in, named activations out, no deeper than asked.

Encoder E, comparator C, target Phi and judge are all FeatureNets, so a network that works as one works as all four.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.inputs import InputSpace


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as a probe image met it.

    name: the module's name, or `name:input`; shape: of its activations, without the batch dimension; kind: the
    module's class; calls: how often a forward pass calls it (the last call counts); overwritten: whether the
    network later changes this tensor in place, so that it must be copied to be kept.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    calls: int
    overwritten: bool

    @property
    def units(self) -> int:
        """Units of the layer: its channels for a map (C, H, W), its features for a vector or tokens."""
        return self.shape[0] if len(self.shape) == 3 else self.shape[-1]


class FeatureNet(nn.Module):
    """A fixed network, its own input space, and its layers by name.

    network: any module from (N, 3, H, W) to something; it is put into evaluation mode and frozen, and stays so.
    input_space: the way from image space to the network's input.
    name: how messages call it. labels: the names of its classes, in order, if it has any.
    aliases: further names of layers, e.g. {"fc6": "relu6"}: Caffe rectifies in place, so its blob fc6 is what
        our module relu6 gives.
    spec: plain values from which `dgn.networks.build` makes the same network again.
    probe_size: side of the probe image where the input space takes any size.
    """

    def __init__(
        self,
        network: nn.Module,
        input_space: InputSpace,
        name: str,
        labels: Sequence[str] = (),
        aliases: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        probe_size: int = 224,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.input_space = input_space
        self.name = name
        self.labels = tuple(labels)
        self.aliases = dict(aliases or {})
        self.spec = dict(spec or {})
        self._probe_size = input_space.size or (probe_size, probe_size)
        self._layers: dict[str, Layer] | None = None
        self.train(False)

    def train(self, mode: bool = True) -> "FeatureNet":
        """A fixed network is always in evaluation mode, whatever module it is a part of."""
        return super().train(False)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """images: (N, 3, H, W) in image space -> {layer as it was asked for: activations (N, ...)}.

        Computation stops at the deepest of the layers. Raises UserError for a layer the network has not."""
        captured = self._run(self.input_space.enter(images), {self.layer(name).name for name in layers})
        return {name: captured[self._canonical(name)] for name in layers}

    def layers(self) -> dict[str, Layer]:
        """Every layer by its own name, in the order of a forward pass; one probe image finds them, once."""
        if self._layers is None:
            self._layers = self._probe()
        return self._layers

    def layer(self, name: str) -> Layer:
        """The layer of that name (or alias, or `name:input`). Raises UserError naming those there are."""
        layers, canonical = self.layers(), self._canonical(name)
        if canonical not in layers:
            names = [n for n in (*self.aliases, *layers) if not n.endswith(":input")]
            close = difflib.get_close_matches(name, names, n=4)
            said = ", ".join(names if len(names) <= 40 else [*names[:12], "...", *names[-4:]])
            hint = f" (did you mean {' or '.join(close)}?)" if close else ""
            raise UserError(
                f"no layer {name!r} in {self.name}{hint}; layers: {said}; "
                "see them all with `python visualize.py target.layers=list`"
            )
        return layers[canonical]

    def before_rectifier(self, name: str) -> str:
        """The layer whose activations a ReLU makes into layer `name`'s; `name` itself where no ReLU made it.

        A unit that a ReLU has silenced has no gradient to climb; DGN-AM's published search starts its backward
        pass below the ReLU, and ours reads the unit there."""
        canonical = self.layer(name).name
        before = canonical + ":input"
        is_relu = self.layers()[canonical].kind in _RELUS
        return before if is_relu and before in self.layers() else canonical

    def trunk(self) -> str:
        """The deepest layer that is still a map (or tokens): CaffeNet's pool5, the comparator's layer by default."""
        maps = [n for n, layer in self.layers().items() if _is_map(layer.shape) and ":" not in n and n != "output"]
        if not maps:
            raise UserError(f"{self.name} has no layer with a map or tokens; name comparator.layers yourself")
        return maps[-1]

    def class_layer(self) -> str:
        """The last layer before any softmax whose activations are a vector, one unit a class."""
        vectors = [n for n, layer in self.layers().items() if len(layer.shape) == 1 and layer.kind != "Softmax"]
        vectors = [n for n in vectors if not n.endswith(":input") and n != "output"] or vectors
        if self.labels:
            vectors = [n for n in vectors if self.layers()[n].units == len(self.labels)]
        if not vectors:
            raise UserError(f"{self.name} has no layer with one unit for each of its {len(self.labels)} labels")
        return vectors[-1]

    def labels_of(self, layer: str) -> tuple[str, ...]:
        """The names of a layer's units: the labels for a class layer (before or after softmax), else none."""
        shape = self.layer(layer).shape
        return self.labels if self.labels and shape == (len(self.labels),) else ()

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and values of all weights: whether two networks are the same network."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _canonical(self, name: str) -> str:
        base, colon, port = name.partition(":")
        return self.aliases.get(base, base) if not colon else f"{base}:{port}"

    def _run(self, inputs: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        captured: dict[str, Tensor] = {}
        due = {name: self.layers()[name].calls for name in wanted}

        def keep(name: str, value: Any) -> None:
            tensor = _first_tensor(value)
            captured[name] = tensor.clone() if self.layers()[name].overwritten else tensor
            due[name] -= 1
            if due[name] == 0 and all(left <= 0 for left in due.values()):
                raise _Reached

        with ExitStack() as hooks:
            for name in wanted:
                hooks.callback(self._hook(name, keep).remove)
            with suppress(_Reached):
                self.network(inputs)
        return captured

    def _hook(self, name: str, keep: Any) -> Any:
        base, _, port = name.partition(":")
        module = self.network if base == "output" else self.network.get_submodule(base)
        if port == "input":
            return module.register_forward_pre_hook(
                lambda _, args, kwargs: keep(name, (args, tuple(kwargs.values()))), with_kwargs=True
            )
        return module.register_forward_hook(lambda _, args, out: keep(name, out))

    @torch.no_grad()
    def _probe(self) -> dict[str, Layer]:
        parameter = next(self.network.parameters(), torch.zeros(()))
        image = torch.zeros(1, 3, *self._probe_size, device=parameter.device, dtype=parameter.dtype)
        calls: Counter[str] = Counter()
        seen: dict[str, tuple[Tensor, int, str]] = {}

        def note(name: str, kind: str, value: Any) -> None:
            tensor = _first_tensor(value)
            if tensor is None or tensor.ndim < 2 or tensor.shape[0] != 1 or not tensor.is_floating_point():
                return
            calls[name] += 1
            seen.pop(name, None)  # order by the last call
            seen[name] = (tensor, tensor._version, kind)

        with ExitStack() as hooks:
            for name, module in self.network.named_modules():
                name, kind = name or "output", type(module).__name__
                pre = module.register_forward_pre_hook(
                    lambda _, args, kwargs, n=name, k=kind: note(n + ":input", k, (args, tuple(kwargs.values()))),
                    with_kwargs=True,
                )
                post = module.register_forward_hook(lambda _, args, out, n=name, k=kind: note(n, k, out))
                hooks.callback(pre.remove)
                hooks.callback(post.remove)
            try:
                self.network(self.input_space.enter(image))
            except (RuntimeError, ValueError, AssertionError, IndexError) as error:
                size = "x".join(map(str, self._probe_size))
                reason = str(error).strip().splitlines()[0]
                raise UserError(f"{self.name} does not take an image of {size} pixels: {reason}") from error
        return {
            name: Layer(name, tuple(t.shape[1:]), kind, calls[name], t._version != version)
            for name, (t, version, kind) in seen.items()
        }


_RELUS = ("ReLU", "ReLU6")


class _Reached(Exception):
    """The deepest layer asked for has been computed."""


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((t for t in map(_first_tensor, value) if t is not None), None)
    return None


def _is_map(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 3 and min(shape[1:]) > 1) or (len(shape) == 2 and shape[0] > 1)
