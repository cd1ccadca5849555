"""Several networks as one target: the layers of each by its name, as in `a/fc8:3 - b/fc8:3`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.layers import Layer
from dgn.networks.receptive.field import ReceptiveField

SEPARATOR = "/"


class NamedNetworks(FeatureNet):
    """A target of several networks. Layers without a name before them are those of the first.

    Args:
        first: the target.
        others: further networks by name.

    Raises:
        UserError: for a name that cannot stand before a layer.
    """

    def __init__(self, first: FeatureNet, others: Mapping[str, FeatureNet]) -> None:
        for name in others:
            if not name.isidentifier():
                raise UserError(f"targets.{name}: a name of letters, digits and _ is needed, to write {name}/fc8:3")
        names = " and ".join([first.name, *(f"{net.name} ({name})" for name, net in others.items())])
        super().__init__(nn.Identity(), InputSpace(first.input_space.size), names, labels=first.labels)
        self.first, self.others = first, nn.ModuleDict(dict(others))
        self.network = first.network
        self.aliases, self.spec, self.input_space = first.aliases, first.spec, first.input_space

    @property
    def members(self) -> dict[str, FeatureNet]:
        """The networks by what stands before their layers' names: "" for the first."""
        others = {f"{name}{SEPARATOR}": net for name, net in self.others.items() if isinstance(net, FeatureNet)}
        return {"": self.first, **others}

    def split(self, layer: str) -> tuple[str, FeatureNet, str]:
        """Returns what stands before a layer's name, its network, and its name there."""
        for prefix, net in reversed(self.members.items()):
            if layer.startswith(prefix):
                return prefix, net, layer.removeprefix(prefix)
        raise AssertionError  # every name starts with ""

    def forward(self, images: Tensor, layers: Sequence[str], half: bool = False) -> dict[str, Tensor]:
        images = as_images(images)
        found: dict[str, Tensor] = {}
        for prefix, net in self.members.items():
            own = [layer for layer in layers if self.split(layer)[0] == prefix]
            if own:
                activations = net(images, [self.split(layer)[2] for layer in own], half)
                found |= {layer: activations[self.split(layer)[2]] for layer in own}
        return found

    def layers(self) -> dict[str, Layer]:
        return dict(self.first.layers())

    def layer(self, name: str) -> Layer:
        prefix, net, own = self.split(name)
        layer = net.layer(own)
        return layer if not prefix else _prefixed(layer, prefix)

    def before_rectifier(self, name: str) -> str:
        prefix, net, own = self.split(name)
        return prefix + net.before_rectifier(own)

    def trunk(self) -> str:
        return self.first.trunk()

    def several_layers(self, count: int = 4) -> list[str]:
        return self.first.several_layers(count)

    def class_layer(self) -> str:
        return self.first.class_layer()

    def code_layer(self) -> str:
        return self.first.code_layer()

    def layer_labels(self, layer: str) -> tuple[str, ...]:
        _, net, own = self.split(layer)
        return net.layer_labels(own)

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        _, net, own = self.split(layer)
        return net.receptive_field(own) if net is self.first else None

    def fingerprint(self) -> str:
        parts = "".join(f"{prefix} {net.fingerprint()};" for prefix, net in self.members.items())
        return hashlib.sha256(parts.encode()).hexdigest()


def _prefixed(layer: Layer, prefix: str) -> Layer:
    return replace(layer, name=prefix + layer.name)
