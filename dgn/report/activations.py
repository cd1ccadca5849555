"""The page of one image's activations: the strongest channels of every layer, with what they prefer beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import file_stem, write_whole
from dgn.report.heat import coloured, overlaid
from dgn.report.pages import render, write_assets
from dgn.report.real_images import RealImages, png


@dataclass(frozen=True)
class ChannelShown:
    """A channel in one image, and what it prefers.

    Attributes:
        name: Its name, as in `conv5:12`.
        title: Its label; the name if it has none.
        value: Its largest activation in the image.
        map: (h, w), its activations; None for a vector.
        preferred: (3, H, W), its preferred image, if it was searched.
        real: The parts of real images that excite it most.
    """

    name: str
    title: str
    value: float
    map: Tensor | None
    preferred: Tensor | None = None
    real: Sequence[Tensor] = ()


@dataclass(frozen=True)
class ImageActivations:
    """The strongest channels of every layer in one image.

    Attributes:
        source: The image's file, or what it is.
        image: (3, H, W), as the network sees it.
        layers: {layer: its channels, the strongest first}.
        shapes: {layer: the shape of its activations}.
    """

    source: str
    image: Tensor
    layers: Mapping[str, Sequence[ChannelShown]]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def write_activations(folder: Path, pages: Sequence[ImageActivations], title: str, command: str) -> list[str]:
    """Writes activations/*.html and their pictures into a run folder; returns the pages' paths from there.

    Args:
        folder: The run folder.
        pages: One for each image.
        title: The title of the run.
        command: The command that reproduces it.
    """
    write_assets(folder)
    real = RealImages(folder)
    paths = []
    for number, page in enumerate(pages):
        path = f"activations/{number:03d}-{file_stem(page.source)}.html"
        stem = f"activations/{number:03d}"
        layers = [
            (
                layer,
                page.shapes.get(layer, ()),
                [_tile(folder, stem, page.image, channel, real) for channel in channels],
            )
            for layer, channels in page.layers.items()
        ]
        write_whole(folder / f"{stem}.png", _png(page.image))
        summary = _summary([channel for channels in page.layers.values() for channel in channels])
        picture = f"{stem}.png"
        html = render(
            "activations.html", root="../", run=title, page=page, image=picture, layers=layers, summary=summary
        )
        write_whole(folder / path, html)
        paths.append(path)
    return paths


def _summary(channels: Sequence[ChannelShown]) -> str:
    """Returns what the tiles of these channels show."""
    shown = "The channels that respond most to this image, layer by layer: the map in colours and over the image."
    parts = []
    if any(channel.preferred is not None for channel in channels):
        parts.append("its preferred image")
    if any(channel.real for channel in channels):
        parts.append("the parts of real images that excite it most")
    return shown + (f" Below, what the channel prefers: {', and '.join(parts)}." if parts else "")


def _tile(folder: Path, stem: str, image: Tensor, channel: ChannelShown, real: RealImages) -> dict:
    tile = {"channel": channel, "map": "", "overlay": "", "preferred": "", "real": []}
    if channel.map is not None:
        name = f"{stem}/{file_stem(channel.name)}"
        large = F.interpolate(channel.map[None, None].float(), image.shape[-2:], mode="bilinear")[0, 0]
        write_whole(folder / f"{name}.png", _png(coloured(channel.map)))
        write_whole(folder / f"{name}-over.png", _png(overlaid(image, large)))
        tile |= {"map": f"{name}.png", "overlay": f"{name}-over.png"}
    if channel.preferred is not None:
        tile["preferred"] = real.write(channel.preferred.clamp(0, 1), "preferred")
    tile["real"] = [real.write(patch.float().clamp(0, 1)) for patch in channel.real]
    return tile


def _png(image: Tensor) -> bytes:
    (picture,) = pictures(image[None])
    return png(picture)
