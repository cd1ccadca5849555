"""The channels that respond most to one image, layer by layer (Yosinski et al. 2015)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.terms import Position, Unit
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class Channel:
    """A channel of a layer in one image.

    Attributes:
        layer: The layer's name.
        index: The channel.
        value: Its largest activation.
        place: Where that is: (row, column) of a map, (token,) of tokens, None for a vector.
        map: (H, W), its activations; None for a vector and for tokens that are no square of patches.
        label: Its name, if the layer's units have names.
    """

    layer: str
    index: int
    value: float
    place: Position
    map: Tensor | None
    label: str = ""

    @property
    def unit(self) -> Unit:
        """The unit at the place of the largest activation."""
        return Unit(self.layer, self.index, self.place, self.label)

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.index}"


@torch.no_grad()
@full_precision
def strongest_channels(
    net: FeatureNet, image: Tensor, layers: Sequence[str], count: int | None = 8
) -> dict[str, list[Channel]]:
    """Returns the channels of each layer with the largest activation anywhere in an image, the largest first.

    Args:
        net: The network.
        image: (3, H, W) in image space.
        layers: The layers.
        count: How many channels of each layer; None: all, in their own order.
    """
    found = net(image[None].to(net.device), layers)
    return {layer: channels_of(layer, found[layer][0].cpu(), net.layer_labels(layer), count) for layer in layers}


def channels_of(layer: str, activations: Tensor, labels: Sequence[str], count: int | None) -> list[Channel]:
    """Returns the strongest channels of one layer from its activations of one image (see `strongest_channels`)."""
    flat = _channels(activations).flatten(1) if activations.ndim > 1 else activations[:, None]
    values = flat.amax(1)
    order = range(len(values)) if count is None else values.topk(min(count, len(values))).indices.tolist()
    return [channel_of(layer, activations, labels, index) for index in order]


def channel_of(layer: str, activations: Tensor, labels: Sequence[str], index: int) -> Channel:
    """Returns one channel of a layer from the layer's activations of one image."""
    own = _channels(activations)[index]
    value, peak = own.flatten().max(0)
    place = tuple(int(axis) for axis in torch.unravel_index(peak, own.shape)) if own.ndim else None
    return Channel(layer, index, float(value), place, _as_map(own), labels[index] if labels else "")


def _channels(activations: Tensor) -> Tensor:
    """Returns activations of one image with their units first: tokens (tokens, units) are turned."""
    return activations.T if activations.ndim == 2 else activations


def _as_map(activations: Tensor) -> Tensor | None:
    """Returns a channel's activations as a map (H, W): patches of a transformer without their class tokens."""
    if activations.ndim == 2:
        return activations
    if activations.ndim == 0 or len(activations) < 4:
        return None
    side = int(len(activations) ** 0.5)
    extra = len(activations) - side * side
    return activations[extra:].reshape(side, side) if extra <= 8 else None
