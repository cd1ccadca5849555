"""FeatureNet: a fixed network seen from image space. Images in, named activations out, no deeper than asked.

Encoder E, comparator C, target Phi and judge are all FeatureNets, so a network that works as one works as all four.
"""

import difflib
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.networks.foreign_code import prepared, why_it_fails
from dgn.networks.inputs import InputSpace
from dgn.networks.layers import OUTPUT, Layer, probe
from dgn.networks.precision import own_layers
from dgn.networks.receptive.field import ReceptiveField
from dgn.networks.receptive.tracing import receptive_fields
from dgn.runs.programs import command


class FeatureNet(nn.Module):
    """A fixed network, its own input space, and its layers by name.

    network: any module from (N, 3, H, W) to something; it is put into evaluation mode and frozen, and stays so.
    input_space: the way from image space to the network's input.
    name: how messages call it. labels: the names of its classes, in order, if it has any. A name that comes twice
        gets its class's number the second time: "crane (517)".
    aliases: further names of layers, e.g. {"fc6": "relu6"}: Caffe rectifies in place, so its blob fc6 is what
        our module relu6 gives.
    spec: plain values from which `dgn.networks.zoo.build` makes the same network again.
    probe_size: side of the probe image where the input space takes any size; as an attribute, its height and width.
    classes_at: the layer that has a unit for each class; None: found (`class_layer`).

    Activations are (N, units), (N, channels, height, width) or (N, tokens, units), whatever the network itself
    makes of maps: Swin's and ConvNeXt's (N, height, width, channels) come out as maps do elsewhere. How layers are
    named stands in `dgn.networks.layers`.
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
        classes_at: str | None = None,
    ) -> None:
        super().__init__()
        self.probe_size = input_space.size or (probe_size, probe_size)
        network = prepared(network, self.probe_size)
        self.network = TorchScript(network) if isinstance(network, torch.jit.ScriptModule) else network
        self.input_space = input_space
        self.name = name
        self.labels = _unique(labels)
        self.aliases = dict(aliases or {})
        self.spec = dict(spec or {})
        self.classes_at = classes_at
        self._layers: dict[str, Layer] | None = None
        self._fields: dict[str, ReceptiveField | None] | None = None
        self.train(False)

    @property
    def device(self) -> torch.device:
        """Where the network is; the CPU where it has no tensors."""
        return self._tensor().device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's weights, which its inputs are brought to; float32 where it has none."""
        return self._tensor().dtype

    def train(self, mode: bool = True) -> "FeatureNet":
        """A fixed network is always in evaluation mode, whatever module it is a part of."""
        with suppress(NotImplementedError):  # torch.export's modules have one mode
            super().train(False)
        return self

    @property
    def headless(self) -> bool:
        """Whether it is a network of features alone, without a layer of classes."""
        return self.spec.get("classes") == 0

    @property
    def is_script(self) -> bool:
        """Whether the network is a TorchScript module, scripted or traced."""
        return isinstance(self.network, TorchScript)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """images: (N, 3, H, W) in image space, or what `as_images` takes -> {layer as it was asked for: activations
        (N, ...)}.

        Whatever the network computes in, images of float32 or less give float32 (images of float64 give float64).

        Computation stops at the deepest of the layers. Raises UserError for a layer the network has not, and for
        one that these images do not reach (a network may choose by what it sees)."""
        images = as_images(images) if isinstance(images, Tensor) else as_images(images).to(self.device)
        wanted = {name: self.layer(name) for name in layers}
        inputs = self.input_space.enter(images)
        captured = self._run(inputs, {self._base(layer.name) for layer in wanted.values()})
        found = {}
        for name, layer in wanted.items():
            base = self._base(layer.name)
            found[name] = captured[base] if base == layer.name else _pooled(captured[base], layer.name)
        return found

    def layers(self) -> dict[str, Layer]:
        """Every layer by its own name, in the order of a forward pass; probe images find them, once. Further names
        that `layer` knows: aliases, and any of these with `:class` or `:mean` behind it."""
        if self._layers is None:
            height, width = self.probe_size
            self._layers = probe(self.network, self._run_probe, square=height == width)
        return self._layers

    def layer(self, name: str) -> Layer:
        """The layer of that name (or alias). Raises UserError naming those there are."""
        layers, canonical = self.layers(), self._canonical(name)
        base = self._base(canonical)
        if base not in layers:
            raise UserError(self._no_layer(name))
        return layers[base] if base == canonical else self._pooled_layer(layers[base], canonical)

    def before_rectifier(self, name: str) -> str:
        """The layer whose activations a ReLU makes into layer `name`'s; `name` itself where no ReLU made it.

        A unit that a ReLU has silenced has no gradient to climb; DGN-AM's published search starts its backward
        pass below the ReLU, and ours reads the unit there."""
        layer = self.layer(name)
        base = self._base(layer.name)
        pooled = layer.name[len(base) :]
        if pooled == ":mean":
            return layer.name  # the mean of rectified activations is no rectified mean
        made_by = self.layers().get(self.layers()[base].same_as) or self.layers()[base]
        before = made_by.name + ":input"
        if made_by.port or made_by.entering or before not in self.layers() or not self._is_relu(made_by.module):
            return layer.name
        return before + pooled

    def trunk(self) -> str:
        """The deepest layer that is still a map (or tokens): CaffeNet's pool5, the comparator's layer by default."""
        maps = [name for name, layer in self.layers().items() if layer.plain and layer.is_map]
        if not maps:
            why = f" ({_SCRIPT})" if self.is_script else ""
            raise UserError(f"{self.name} has no layer with a map or tokens{why}; name a layer yourself")
        return maps[-1]

    def class_layer(self) -> str:
        """The last layer before any softmax whose activations are a vector, one unit a class."""
        if self.classes_at is not None:
            return self.layer(self.classes_at).name
        if self.headless:
            raise UserError(
                f"{self.name} has no head, and so no layer of classes; name a layer, as in units=LAYER:all, or give it "
                "a head with classes= and weights that have one"
            )
        layers = self.layers()
        vectors = [n for n, one in layers.items() if len(one.shape) == 1 and one.kind not in ("Softmax", "LogSoftmax")]
        vectors = [n for n in vectors if layers[n].plain] or [n for n in vectors if "@" not in n]
        if self.labels:
            vectors = [n for n in vectors if layers[n].units == len(self.labels)]
        if not vectors:
            unit = f"one unit for each of its {len(self.labels)} labels" if self.labels else "a vector of classes"
            raise UserError(f"{self.name} has no layer with {unit}; name its layer with layer=")
        final = layers.get(OUTPUT)  # of several heads, the one whose result the network gives first
        found = layers[final.same_as if final is not None and final.same_as in vectors else vectors[-1]]
        inner = layers.get(found.same_as)
        return inner.name if inner is not None and inner.plain else found.name

    def code_layer(self) -> str:
        """The layer to invert by default: what enters the layer of classes, as ResNet's pooled features; where that
        is no layer of its own, the deepest map."""
        if self.headless and self.classes_at is None:
            return OUTPUT if len(self.layer(OUTPUT).shape) == 1 else self.trunk()
        classes = self.class_layer()
        entering = classes + ":input"
        return entering if classes != OUTPUT and entering in self.layers() else self.trunk()

    def labels_of(self, layer: str) -> tuple[str, ...]:
        """The names of a layer's units: the labels for a class layer (before or after softmax), else none."""
        shape = self.layer(layer).shape
        return self.labels if self.labels and shape == (len(self.labels),) else ()

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """What part of the network's input the units of a layer see; None where it cannot be told. All layers' are
        found together, in one more forward pass, when the first is asked for."""
        if self._fields is None:
            self._fields = receptive_fields(self.network, self.layers(), self._run_probe, self.probe_size)
        found = self.layer(layer)
        field = self._fields[self._base(found.name)]
        pooled = found.name != self._base(found.name)
        return field.of_all() if field is not None and pooled else field

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and values of all weights: whether two networks are the same network."""
        digest = hashlib.sha256()
        state = {name: value for name, value in self.network.state_dict().items() if isinstance(value, Tensor)}
        for name, tensor in sorted(state.items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _tensor(self) -> Tensor:
        """A tensor of the network of floating point: its first weight, else its first buffer."""
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))

    def _is_relu(self, module: str) -> bool:
        relu = None if module == OUTPUT else self.network.get_submodule(module)
        kind = nn.ReLU6 if isinstance(relu, nn.ReLU6) else nn.ReLU
        return isinstance(relu, kind) and type(relu).forward is kind.forward

    def _canonical(self, name: str) -> str:
        base, colon, rest = name.partition(":")
        return self.aliases.get(base, base) + colon + rest

    def _base(self, canonical: str) -> str:
        """The layer without `:class` or `:mean`, unless a module gives something of that name."""
        name, _, last = canonical.rpartition(":")
        return name if last in POOLS and canonical not in self.layers() else canonical

    def _pooled_layer(self, base: Layer, name: str) -> Layer:
        how = name.rpartition(":")[2]
        if len(base.shape) == 1 or (how == "class" and len(base.shape) != 2):
            what = "tokens" if how == "class" else "tokens or a map"
            raise UserError(f"{name}: {how} is for {what}, and {base.name} has activations of shape {base.shape}")
        return replace(base, name=name, shape=(base.units,), same_as="")

    def _no_layer(self, name: str) -> str:
        layers = self.layers()
        names = [n for n in (*self.aliases, *layers) if ":" not in n and "@" not in n]
        base = self._canonical(name).partition(":")[0].partition("@")[0]
        see = f"see them all with `{command('visualize', 'target.layers=list')}`"
        if self.is_script:
            return f"no layer {name!r} in {self.name}: {_SCRIPT}; layers: {', '.join(layers)}"
        if base in layers:
            kinds = sorted({n[len(base) :] for n in layers if n.startswith((base + ":", base + "@"))})
            return f"no layer {name!r} in {self.name}; of {base} there are: {', '.join([base, *kinds])}, :class, :mean"
        if base in dict(self.network.named_modules()):
            return (
                f"no layer {name!r} in {self.name}: a forward pass never calls that module, or it gives no activations "
                f"of images; {see}"
            )
        close = difflib.get_close_matches(name, names, n=4)
        said = ", ".join(names if len(names) <= 40 else [*names[:12], "...", *names[-4:]])
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        return f"no layer {name!r} in {self.name}{hint}; layers: {said}; {see}"

    def _run(self, inputs: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        captured: dict[str, Tensor] = {}
        due = set(wanted)
        points: dict[tuple[str, bool], list[Layer]] = defaultdict(list)
        for name in wanted:
            layer = self.layers()[name]
            points[layer.module, layer.entering].append(layer)
        calls: Counter[tuple[str, bool]] = Counter()

        def keep(point: tuple[str, bool], value: Any) -> None:
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
                hooks.callback(self._hook(point, keep).remove)
            with suppress(_Reached):
                self._call(inputs)
        if unseen := sorted(wanted - captured.keys()):
            raise UserError(f"{self.name} did not come to layer {unseen[0]!r} with these images; name another layer")
        arranged = {name: self.layers()[name].arrange(tensor, len(inputs)) for name, tensor in captured.items()}
        return {name: activations.to(inputs.dtype) for name, activations in arranged.items()}

    def _call(self, inputs: Tensor) -> None:
        """The network on its own inputs (N, 3, H, W), in its own type, and in low precision where the run has it."""
        with own_layers(inputs.device, self.dtype):
            self.network(inputs.to(self.dtype))

    def _hook(self, point: tuple[str, bool], keep: Callable[[tuple[str, bool], Any], None]) -> Any:
        name, entering = point
        module = self.network if name == OUTPUT else self.network.get_submodule(name)
        if entering:
            return module.register_forward_pre_hook(
                lambda _, args, kwargs: keep(point, (*args, *kwargs.values())), with_kwargs=True
            )
        return module.register_forward_hook(lambda _, args, out: keep(point, out))

    @torch.inference_mode(False)
    @torch.no_grad()
    def _run_probe(self, count: int = 2, larger: int = 0) -> None:
        """The network on `count` of two probe images, its own size or so many pixels more."""
        height, width = self.probe_size
        noise = torch.rand(2, 3, height + larger, width + 2 * larger, generator=torch.Generator().manual_seed(0))
        images = noise[:count].to(self.device)
        space = replace(self.input_space, size=None) if larger else self.input_space
        try:
            self._call(space.enter(images))
        except Exception as error:  # a network is anyone's code
            if larger:
                return  # the layers before have been seen
            reason = why_it_fails(self.name, self.probe_size, error, lambda inputs: self._call(inputs.to(self.device)))
            raise UserError(reason) from error


class TorchScript(nn.Module):
    """Holds a scripted or traced network, which takes no hooks."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Any:
        return self.script(images)


_SCRIPT = "a TorchScript module shows its output alone; give the Python module to see its layers"
POOLS = ("class", "mean")
"""What may stand behind a layer's name and makes a vector of its map or tokens."""


class _Reached(BaseException):
    """The deepest layer asked for has been computed. No error: a network that catches those must not catch this."""


def _pooled(activations: Tensor, name: str) -> Tensor:
    if name.endswith(":class"):
        return activations[:, 0]
    return activations.mean(1) if activations.ndim == 3 else activations.mean((2, 3))


def _unique(labels: Sequence[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    found = []
    for i, label in enumerate(labels):
        found.append(f"{label} ({i})" if label in seen else str(label))
        seen.add(label)
    return tuple(found)
