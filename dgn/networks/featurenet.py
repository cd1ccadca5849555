"""FeatureNet: a fixed network that maps images to named activations, and computes no deeper than needed.

Encoder E, comparator C, target Phi and judge are all FeatureNets, so a network that works as one works as all four.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dgn.data.imagenet import unique
from dgn.data.images import as_images
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks import landmarks, module_facts
from dgn.networks.capture import capture
from dgn.networks.dictionaries import Dictionaries
from dgn.networks.foreign_code import TorchScript, prepared
from dgn.networks.inputs import InputSpace
from dgn.networks.layer_names import SCRIPT, LayerNames
from dgn.networks.layers import OUTPUT, Layer, probe
from dgn.networks.precision import own_layers
from dgn.networks.probing import run_on_noise
from dgn.networks.receptive.field import ReceptiveField
from dgn.networks.receptive.tracing import receptive_fields

IMAGES = "images"
"""The name under which the images themselves are a layer, for objectives that are functions of them."""


class FeatureNet(nn.Module):
    """A fixed network, its own input space, and its layers by name.

    Activations are (N, units), (N, channels, height, width) or (N, tokens, units) for every network: maps that are
    (N, height, width, channels), as in Swin and ConvNeXt, are permuted. `dgn.networks.layers` documents layer names.

    Args:
        network: Any module that takes (N, channels, H, W). It is frozen and stays in evaluation mode.
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

    has_gradient = True
    """Whether activations can be followed back to the images. A black box gives scores and nothing else."""
    may_miss_images = False
    """Whether an activation of NaN means that an image was not seen, and not that the network has failed."""
    repeatable = True
    """Whether it can be asked about any image at any time; an experiment sees the images of a search only."""

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
        network = prepared(network, self.probe_size, input_space.channels)
        self.network = TorchScript(network) if isinstance(network, torch.jit.ScriptModule) else network
        self.input_space = input_space
        self.name = name
        self.labels = unique(labels)
        self.aliases = dict(aliases or {})
        self.spec = dict(spec or {})
        self.classes_at = classes_at
        self.dictionaries = Dictionaries()
        self._layers: dict[str, Layer] | None = None
        self._fields: dict[str, ReceptiveField | None] | None = None
        self.train(False)

    @property
    def device(self) -> torch.device:
        """The network's device; the CPU if it has no tensors."""
        return module_facts.first_tensor(self.network).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network's weights, to which its inputs are converted; float32 if it has none."""
        return module_facts.first_tensor(self.network).dtype

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

    def forward(self, images: Tensor, layers: Sequence[str], half: bool = False) -> dict[str, Tensor]:
        """Computes the activations of layers, and stops at the deepest of them.

        Args:
            images: (N, C, H, W) in image space, or anything that `as_images` accepts.
            layers: Names of layers.
            half: Whether the network's input, and so its maps, have half their side.

        Returns:
            Activations (N, ...) by layer name: float32, or float64 for float64 images, whatever the network's dtype.

        Raises:
            UserError: If the network has no such layer, or does not reach it with these images.
        """
        images = as_images(images) if isinstance(images, Tensor) else moved(as_images(images), self.device)
        wanted = {name: self.layer(name) for name in layers if name != IMAGES}
        names = self._names()
        shown = {IMAGES: images} if IMAGES in layers else {}
        if not wanted:
            return shown
        inputs = (self.input_space.halved() if half else self.input_space).enter(images)
        captured = self._run(inputs, {names.source(layer.name) for layer in wanted.values()})
        return shown | {name: names.activations(layer.name, captured) for name, layer in wanted.items()}

    def layers(self) -> dict[str, Layer]:
        """Returns every layer by name, in the order of a forward pass.

        Layers are detected once, with probe images. `layer` also accepts aliases, dictionaries that read a layer
        (`sae(FILE)`, `dict(FILE)`: `dgn.networks.dictionaries`), and any name with the suffix `:class` or `:mean`.
        """
        if self._layers is None:
            height, width = self.probe_size
            self._layers = probe(self.network, partial(run_on_noise, self), square=height == width)
        return self._layers

    def layer(self, name: str) -> Layer:
        """Returns the layer of that name or alias, or of a dictionary, which is opened. Raises UserError if none is.

        `images` are the images themselves.
        """
        if name == IMAGES:
            return Layer(IMAGES, (self.input_space.image_channels, *self.probe_size), "Images", IMAGES)
        self.dictionaries.open(name, self, self.device)
        names = self._names()
        layer = names.find(name)
        if layer is None and self.is_script:
            raise UserError(f"no layer {name!r} in {self.name}: {SCRIPT}; layers: {', '.join(names.layers)}")
        if layer is None:
            raise UserError(names.refusal(name, self.name, self.network))
        return layer

    def before_rectifier(self, name: str) -> str:
        """Returns the layer before the ReLU that computes layer `name`; `name` itself if it is not a ReLU's output.

        A unit at 0 after a ReLU has no gradient. DGN-AM's published search starts its backward pass below the ReLU;
        ours reads the unit there.
        """
        layer = self.layer(name)
        base = self._names().base(layer.name)
        suffix = layer.name[len(base) :]
        if suffix == ":mean":
            return layer.name  # the mean of rectified activations is not a rectified mean
        if base in self.dictionaries.attached:
            return self.dictionaries.before(base) + suffix
        made_by = self.layers().get(self.layers()[base].same_as) or self.layers()[base]
        before = made_by.name + ":input"
        if (
            made_by.port
            or made_by.entering
            or before not in self.layers()
            or not module_facts.is_relu(self.network, made_by.module)
        ):
            return layer.name
        return before + suffix

    def trunk(self) -> str:
        """Returns the deepest layer that is a map or tokens: CaffeNet's pool5, the comparator's default layer.

        The layers inside attention pooling (its keys and their norm) are not part of the trunk, nor is a head that
        classifies each token.
        """
        deepest = landmarks.trunk(self.layers())
        if deepest is None:
            why = f" ({SCRIPT})" if self.is_script else ""
            raise UserError(f"{self.name} has no layer with a map or tokens{why}; name a layer yourself")
        return deepest

    def several_layers(self, count: int = 4) -> list[str]:
        """Returns up to `count` layers at different scales or depths, the trunk last (`landmarks.spread_maps`).

        Raises:
            UserError: If no layer is a map or tokens.
        """
        return landmarks.spread_maps(self.layers(), count) or [self.trunk()]

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
        return landmarks.class_layer(self.layers(), self.labels, self.name)

    def code_layer(self) -> str:
        """Returns the default layer to invert: what enters the classifier's last layer with weights.

        For ResNet these are the pooled features, for SqueezeNet, which pools its class scores, a map. If that input
        is not a layer, it is the deepest map.
        """
        if self.headless and self.classes_at is None:
            return OUTPUT if len(self.layer(OUTPUT).shape) == 1 else self.trunk()
        try:
            classes = self.class_layer()
        except UserError:
            if self.classes_at is not None or self.labels:
                raise
            return self.trunk()
        entering = (
            landmarks.classifier(self.layers(), classes, partial(module_facts.has_weights, self.network)) + ":input"
        )
        return entering if entering in self.layers() and entering != f"{OUTPUT}:input" else self.trunk()

    def layer_labels(self, layer: str) -> tuple[str, ...]:
        """Returns the names of a layer's units: the labels for a class layer (before or after softmax), else ().

        A dictionary's units have the names that its file gives them.
        """
        name, shape = self.layer(layer).name, self.layer(layer).shape
        if attached := self.dictionaries.attached.get(self._names().base(name)):
            return attached.encoder.labels
        return self.labels if self.labels and shape == (len(self.labels),) else ()

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """Returns the receptive field of a layer's units in the network's input; None if it is unknown.

        The fields of all layers are computed in one forward pass at the first call.
        """
        if self._fields is None:
            self._fields = receptive_fields(self.network, self.layers(), partial(run_on_noise, self), self.probe_size)
        name, names = self.layer(layer).name, self._names()
        field = self._fields[names.source(name)]
        return field.of_all() if field is not None and names.is_pooled(name) else field

    def fingerprint(self) -> str:
        """Returns the SHA-256 of names, shapes, dtypes and values of all weights, to compare two networks."""
        return module_facts.fingerprint(self.network)

    def _names(self) -> LayerNames:
        return LayerNames(self.layers(), self.aliases, self.dictionaries.attached)

    def _run(self, inputs: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        layers = [self.layers()[name] for name in wanted]
        captured = capture(self.network, layers, lambda: self.run(inputs))
        for name in sorted(wanted):
            if name not in captured:
                raise UserError(f"{self.name} did not reach layer {name!r} with these images; name another layer")
        return {layer.name: layer.arrange(captured[layer.name], len(inputs)).to(inputs.dtype) for layer in layers}

    def run(self, inputs: Tensor) -> None:
        """Runs the network on its own inputs (N, channels, H, W), in its dtype or in the run's low precision."""
        with own_layers(inputs.device, self.dtype, fixed=True):
            self.network(inputs.to(self.dtype))
