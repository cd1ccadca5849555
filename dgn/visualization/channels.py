"""What channels prefer, for the pages about images: preferred images, and parts of real images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Position, Unit
from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference
from dgn.inspection import Channel, main_layers, strongest_channels
from dgn.metrics.top_images import at_input, crop, top_images, uncut_region
from dgn.networks.featurenet import FeatureNet
from dgn.report.activations import ChannelShown, ImageActivations
from dgn.visualization.approaches import Approach
from dgn.visualization.attributions import seen
from dgn.visualization.search import Purpose, search
from dgn.visualization.search_store import SearchStore
from dgn.visualization.settings import SearchSettings
from dgn.visualization.subjects import Subject

_PURPOSE = Purpose("Searching preferred images of the strongest channels", "fewer channels=, or channel_images=false")
_REAL = 3  # parts of real images that are shown of each channel


@dataclass(frozen=True)
class ChannelSettings:
    """Which channels of an image are shown.

    Attributes:
        count: How many channels of each layer.
        layers: The layers; None: the network's main layers.
    """

    count: int = 6
    layers: Sequence[str] | None = None


def describe_activations(
    net: FeatureNet,
    subjects: Sequence[Subject],
    settings: ChannelSettings,
    approach: Approach | None,
    search_settings: SearchSettings,
    data: ImageData | None,
    reference: Reference | None,
    kept: SearchStore,
) -> list[ImageActivations]:
    """Returns the strongest channels of every layer in each image, with what they prefer.

    Args:
        net: The network.
        subjects: The images.
        settings: Which channels.
        approach: How preferred images are searched; None: they are not.
        search_settings: How searches run.
        data: Real images that a method measures.
        reference: Real images whose parts are shown; None: no parts are.
        kept: Keeps the searches.
    """
    layers = list(settings.layers or main_layers(net))
    images = [seen(net, subject.image) for subject in subjects]
    found = [strongest_channels(net, image, layers, settings.count) for image in images]
    channels = list(
        {channel.name: channel for by_layer in found for own in by_layer.values() for channel in own}.values()
    )
    preferred = {} if approach is None else _preferred(net, channels, approach, search_settings, data, kept)
    real = {} if reference is None else real_parts(net, channels, reference)
    return [
        ImageActivations(
            subject.name,
            image.cpu(),
            {layer: [_shown(channel, preferred, real) for channel in own] for layer, own in by_layer.items()},
            {layer: net.layer(layer).shape for layer in layers},
        )
        for subject, image, by_layer in zip(subjects, images, found, strict=True)
    ]


def channel_objective(net: FeatureNet, layer: str, index: int) -> Objective:
    """Returns the objective of a channel: its unit in the middle of a map, the mean over tokens, or a vector's unit."""
    shape = net.layer(layer).shape
    labels = net.layer_labels(layer)
    position: Position = None
    if len(shape) > 1:
        position = tuple(side // 2 for side in shape[1:]) if len(shape) == 3 else "mean"
    return Objective(((1.0, Unit(layer, index, position, labels[index] if labels else "")),))


def real_parts(
    net: FeatureNet,
    channels: Sequence[Channel],
    reference: Reference,
    k: int = _REAL,
    images: Iterable[Tensor] | None = None,
) -> dict[str, list[Tensor]]:
    """Returns {channel: the parts of real images that excite it most, of the size of its receptive field}.

    Args:
        net: The network.
        channels: The channels.
        reference: The real images.
        k: The number of parts of each channel.
        images: The images of the reference, in other batches; None: in its own.
    """
    ranked = top_images(net, [channel.unit for channel in channels], images or reference.images(), k)
    pool = reference.images_at(index for top in ranked for index in top.indices.tolist())
    parts = {}
    for channel, top in zip(channels, ranked, strict=True):
        own = []
        for index, place in zip(top.indices.tolist(), top.places, strict=True):
            image = at_input(net, pool[index][None].to(net.device))[0].cpu()
            own.append(part_seen(net, channel.layer, place, image))
        parts[channel.name] = own
    return parts


def part_seen(net: FeatureNet, layer: str, place: tuple[int, ...], image: Tensor) -> Tensor:
    """Returns the part of an image (3, H, W) that a unit sees; all of it if that is most, or unknown."""
    field = net.receptive_field(layer)
    if field is None or len(place) != 2 or min(field.size) >= min(image.shape[-2:]):
        return image
    return crop(image, uncut_region(place, field.size, field.stride, field.offset))


def _preferred(
    net: FeatureNet,
    channels: Sequence[Channel],
    approach: Approach,
    settings: SearchSettings,
    data: ImageData | None,
    kept: SearchStore,
) -> dict[str, Tensor]:
    objectives = [channel_objective(net, channel.layer, channel.index) for channel in channels]
    result = search(approach, net, objectives, settings, data, kept=kept, purpose=_PURPOSE)
    images = [at_input(net, image[None].to(net.device))[0].cpu() for image in result.preferred.images]
    return {
        channel.name: part_seen(net, channel.layer, _place(objective), image)
        for channel, objective, image in zip(channels, objectives, images, strict=True)
    }


def _place(objective: Objective) -> tuple[int, ...]:
    position = getattr(objective.terms[0][1], "position", None)
    return position if isinstance(position, tuple) else ()


def _shown(channel: Channel, preferred: dict[str, Tensor], real: dict[str, list[Tensor]]) -> ChannelShown:
    name = channel.name
    title = f"{channel.label} ({name})" if channel.label else name
    values = channel.map if channel.map is None else torch.as_tensor(channel.map)
    return ChannelShown(name, title, channel.value, values, preferred.get(name), real.get(name, ()))
