"""FeatureNet: a fixed network that maps images to named activations, and computes no deeper than needed.

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

    Activations are (N, units), (N, channels, height, width) or (N, tokens, units) for every network: maps that are
    (N, height, width, channels), as in Swin and ConvNeXt, are permuted. `dgn.networks.layers` documents layer names.

    Args:
        network: Any module that takes (N, 3, H, W). It is frozen and stays in evaluation mode.
        input_space: Conversion from image space to the network's input.
        name: Name of the network in messages.
        labels: Class names in order, if there are any. A repeated name gets its class number appended:
            "crane (517)".
        aliases: Additional names of layers, e.g. {"fc6": "relu6"}: Caffe rectifies in place, so its blob fc6 is the
            output of our module relu6.
        spec: Plain values from which `dgn.networks.zoo.build` builds the same network again.
        probe_size: Side of the probe images in pixels if the input space accepts any size. The attribute holds
            their height and width.
        classes_at: The layer with one unit per class; None: detected (`class_layer`).
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
        """The network's device; the CPU if it has no tensors."""
        return self._tensor().device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's weights, to which its inputs are converted; float32 if it has none."""
        return self._tensor().dtype

    def train(self, mode: bool = True) -> "FeatureNet":
        """Keeps evaluation mode, also if a parent module is set to training mode."""
        with suppress(NotImplementedError):  # torch.export's modules have one mode
            super().train(False)
        return self

    @property
    def headless(self) -> bool:
        """Whether the network has only features and no class layer."""
        return self.spec.get("classes") == 0

    @property
    def is_script(self) -> bool:
        """Whether the network is a TorchScript module, scripted or traced."""
        return isinstance(self.network, TorchScript)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Computes the activations of layers. Computation stops at the deepest of them.

        Args:
            images: (N, 3, H, W) in image space, or anything that `as_images` accepts.
            layers: Names of layers.

        Returns:
            Activations (N, ...) by layer name. They are float32, or float64 for float64 images, whatever dtype the
            network computes in.

        Raises:
            UserError: If the network has no such layer, or does not reach it with these images (control flow may
                depend on the input).
        """
        images = as_images(images) if isinstance(images, Tensor) else as_images(images).to(self.device)
        wanted = {name: self.layer(name) for name in layers}
        inputs = self.input_space.enter(images)
        captured = self._run(inputs, {self._base(layer.name) for layer in wanted.values()})
        activations = {}
        for name, layer in wanted.items():
            base = self._base(layer.name)
            activations[name] = captured[base] if base == layer.name else _pooled(captured[base], layer.name)
        return activations

    def layers(self) -> dict[str, Layer]:
        """Returns every layer by name, in the order of a forward pass.

        Layers are detected once, with probe images. `layer` also accepts aliases, and any name with the suffix
        `:class` or `:mean`.
        """
        if self._layers is None:
            height, width = self.probe_size
            self._layers = probe(self.network, self._run_probe, square=height == width)
        return self._layers

    def layer(self, name: str) -> Layer:
        """Returns the layer of that name or alias. Raises UserError listing the layers if there is none."""
        layers, canonical = self.layers(), self._canonical(name)
        base = self._base(canonical)
        if base not in layers:
            raise UserError(self._no_layer(name))
        return layers[base] if base == canonical else self._pooled_layer(layers[base], canonical)

    def before_rectifier(self, name: str) -> str:
        """Returns the layer before the ReLU that computes layer `name`; `name` itself if it is not a ReLU's output.

        A unit at 0 after a ReLU has no gradient. DGN-AM's published search starts its backward pass below the ReLU;
        ours reads the unit there.
        """
        layer = self.layer(name)
        base = self._base(layer.name)
        pooled = layer.name[len(base) :]
        if pooled == ":mean":
            return layer.name  # the mean of rectified activations is not a rectified mean
        made_by = self.layers().get(self.layers()[base].same_as) or self.layers()[base]
        before = made_by.name + ":input"
        if made_by.port or made_by.entering or before not in self.layers() or not self._is_relu(made_by.module):
            return layer.name
        return before + pooled

    def trunk(self) -> str:
        """Returns the deepest layer that is a map or tokens: CaffeNet's pool5, the comparator's default layer.

        The layers inside attention pooling (its keys and their norm) are not part of the trunk, nor is a head that
        classifies each token.
        """
        layers = self.layers()
        classes = layers[OUTPUT].shape if OUTPUT in layers else ()
        maps = [name for name, layer in layers.items() if layer.plain and layer.is_map]
        maps = [n for n in maps if layers[n].kind != "Linear" or layers[n].shape[-1:] != classes]
        poolings = self._token_poolings(maps)
        maps = [name for name in maps if not name.startswith(poolings)]
        if not maps:
            why = f" ({_SCRIPT})" if self.is_script else ""
            raise UserError(f"{self.name} has no layer with a map or tokens{why}; name a layer yourself")
        return maps[-1]

    def class_layer(self) -> str:
        """Returns the last layer before a softmax whose activations are a vector with one unit per class.

        It is `output` if the network computes it from several heads (their mean), or without a module (cosine
        similarities) and has as many labels.

        Raises:
            UserError: If there is no such layer, or if the network has no labels and computes its output without a
                module.
        """
        if self.classes_at is not None:
            return self.layer(self.classes_at).name
        if self.headless:
            raise UserError(
                f"{self.name} has no head, and so no layer of classes; name a layer, as in units=LAYER:all, or give it "
                "a head with classes= and weights that have one"
            )
        layers = self.layers()
        vectors = [n for n, one in layers.items() if len(one.shape) == 1 and one.kind not in ("Softmax", "LogSoftmax")]
        if self.labels:
            vectors = [n for n in vectors if layers[n].units == len(self.labels)]
        vectors = [n for n in vectors if layers[n].plain] or [n for n in vectors if "@" not in n]
        if not vectors:
            unit = f"one unit for each of its {len(self.labels)} labels" if self.labels else "a vector of classes"
            raise UserError(f"{self.name} has no layer with {unit}; name its layer with layer=")
        final = layers.get(OUTPUT)  # with several heads, the one that the network returns first
        if final is not None and len(final.shape) == 1 and final.same_as in ("", OUTPUT):
            if len(self._heads(final.units)) > 1 or (self.labels and OUTPUT in vectors):
                return OUTPUT
            plain = [n for n in vectors if layers[n].plain]
            vectors = [n for n in vectors if layers[n].units == final.units]
            if plain and not vectors:
                raise UserError(
                    f"{self.name} has no class layer: no module computes its {final.units} outputs, and it has no "
                    "labels; name a layer, as in units=output:all, or give labels"
                )
        layer = layers[final.same_as if final is not None and final.same_as in vectors else vectors[-1]]
        inner = layers.get(layer.same_as)
        return inner.name if inner is not None and inner.plain else layer.name

    def code_layer(self) -> str:
        """Returns the default layer to invert: the input of the class layer, such as ResNet's pooled features.

        If that input is not a layer, it is the deepest map.
        """
        if self.headless and self.classes_at is None:
            return OUTPUT if len(self.layer(OUTPUT).shape) == 1 else self.trunk()
        try:
            classes = self.class_layer()
        except UserError:
            if self.classes_at is not None or self.labels:
                raise
            return self.trunk()
        entering = classes + ":input"
        return entering if classes != OUTPUT and entering in self.layers() else self.trunk()

    def labels_of(self, layer: str) -> tuple[str, ...]:
        """Returns the names of a layer's units: the labels for a class layer (before or after softmax), else ()."""
        shape = self.layer(layer).shape
        return self.labels if self.labels and shape == (len(self.labels),) else ()

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """Returns the receptive field of a layer's units in the network's input; None if it is unknown.

        The fields of all layers are computed in one forward pass at the first call.
        """
        if self._fields is None:
            self._fields = receptive_fields(self.network, self.layers(), self._run_probe, self.probe_size)
        name = self.layer(layer).name
        field = self._fields[self._base(name)]
        pooled = name != self._base(name)
        return field.of_all() if field is not None and pooled else field

    def fingerprint(self) -> str:
        """Returns the SHA-256 of names, shapes, dtypes and values of all weights, to compare two networks."""
        digest = hashlib.sha256()
        state = {name: value for name, value in self.network.state_dict().items() if isinstance(value, Tensor)}
        for name, tensor in sorted(state.items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _token_poolings(self, maps: Sequence[str]) -> tuple[str, ...]:
        """The name prefixes of modules that reduce tokens, or a map as tokens, to a vector and hold few of all maps."""
        layers = self.layers()
        prefixes = []
        for name, layer in layers.items():
            entering = layers.get(f"{name}:input")
            if not layer.plain or layer.is_map or entering is None or not entering.is_map:
                continue
            inside = [other for other in maps if other.startswith(f"{name}.")]
            tokens = len(entering.shape) == 2 or any(len(layers[other].shape) == 2 for other in inside)
            if tokens and 2 * len(inside) < len(maps):  # a wrapper around the whole trunk holds most of them
                prefixes.append(f"{name}.")
        return tuple(prefixes)

    def _heads(self, units: int) -> list[str]:
        """The linear layers with that many units that start from features of another number, as parallel heads do."""
        layers = self.layers()
        linear = [name for name, layer in layers.items() if layer.plain and layer.kind == "Linear"]
        return [
            name
            for name in linear
            if len(layers[name].shape) == 1 and layers[name].units == units != layers[f"{name}:input"].units
        ]

    def _tensor(self) -> Tensor:
        """The network's first floating-point parameter, else its first floating-point buffer."""
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
        """The name without `:class` or `:mean`, unless a module's output has that name."""
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
        listed = ", ".join(names if len(names) <= 40 else [*names[:12], "...", *names[-4:]])
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        return f"no layer {name!r} in {self.name}{hint}; layers: {listed}; {see}"

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
        """Runs the network on its own inputs (N, 3, H, W), in its dtype or in the run's low precision."""
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
        """Runs the network on `count` of two probe images, `larger` pixels larger than its own size."""
        height, width = self.probe_size
        noise = torch.rand(2, 3, height + larger, width + 2 * larger, generator=torch.Generator().manual_seed(0))
        images = noise[:count].to(self.device)
        space = replace(self.input_space, size=None) if larger else self.input_space
        try:
            self._call(space.enter(images))
        except Exception as error:  # user code can raise anything
            if larger:
                return  # the layers before the error have been recorded
            reason = why_it_fails(self.name, self.probe_size, error, lambda inputs: self._call(inputs.to(self.device)))
            raise UserError(reason) from error


class TorchScript(nn.Module):
    """Wraps a scripted or traced network, which does not support hooks."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Any:
        return self.script(images)


_SCRIPT = "a TorchScript module shows its output alone; give the Python module to see its layers"
POOLS = ("class", "mean")
"""Suffixes of layer names that reduce a map or tokens to a vector."""


class _Reached(BaseException):
    """Raised when the deepest requested layer is computed. A BaseException, so that networks do not catch it."""


def _pooled(activations: Tensor, name: str) -> Tensor:
    if name.endswith(":class"):
        return activations[:, 0]
    return activations.mean(1) if activations.ndim == 3 else activations.mean((2, 3))


def _unique(labels: Sequence[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    unique = []
    for i, label in enumerate(labels):
        unique.append(f"{label} ({i})" if label in seen else str(label))
        seen.add(label)
    return tuple(unique)
