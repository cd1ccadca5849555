"""The classic figure of Zeiler & Fergus 2013: nine patches of each channel, and their deconvolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.images import image_grid, pictures
from dgn.files import file_stem, write_whole
from dgn.report.heat import as_picture
from dgn.report.pages import render, write_assets
from dgn.report.real_images import png
from dgn.report.results import as_json
from dgn.report.words import flat, known

_SIDE = 30  # at least this many pixels for each patch


@dataclass(frozen=True)
class PatchesShown:
    """A channel's patches.

    Attributes:
        layer: The layer.
        name: The channel, as in `conv5:12`.
        title: Its label; the name if it has none.
        patches: (k, 3, h, w).
        deconvolutions: (k, 3, h, w); 0 is nothing. None: the network has none.
        values: The activations.
    """

    layer: str
    name: str
    title: str
    patches: Tensor
    deconvolutions: Tensor | None
    values: Sequence[float]


def write_patches(
    folder: Path, channels: Sequence[PatchesShown], title: str, command: str, settings: Mapping[str, Any]
) -> Path:
    """Writes two pictures for each channel, a sheet for each layer, and index.html; returns the page's path."""
    write_assets(folder)
    layers: dict[str, list[dict[str, Any]]] = {}
    sheets: dict[str, list[Tensor]] = {}
    for channel in channels:
        pair = [_nine(channel.patches)]
        files = dict(zip(("patches", "deconvolutions"), picture_paths(channel), strict=True))
        write_whole(folder / files["patches"], _png(pair[0]))
        if channel.deconvolutions is not None:
            pair.insert(0, _nine(_visible(channel.deconvolutions)))
            write_whole(folder / files["deconvolutions"], _png(pair[0]))
        layers.setdefault(channel.layer, []).append(dict(channel=channel, **files))
        sheets.setdefault(channel.layer, []).append(torch.cat(pair, 2))
    made = []
    for layer, tiles in layers.items():
        path = sheet_path(layer)
        write_whole(folder / path, _png(_sheet(sheets[layer])))
        made.append((layer, path, tiles))
    deconvolved = any(channel.deconvolutions is not None for channel in channels)
    text = dict(deconvolved=deconvolved, title=title, command=command, settings=list(flat(as_json(settings))))
    write_whole(folder / "index.html", render("patches.html", root="", layers=made, known=known, **text))
    return folder / "index.html"


def picture_paths(channel: PatchesShown) -> tuple[str, str]:
    """Returns the paths of a channel's patches and of their deconvolutions ("": none), from the run folder."""
    stem = file_stem(channel.name)
    return f"patches/{stem}.png", f"deconvolutions/{stem}.png" if channel.deconvolutions is not None else ""


def sheet_path(layer: str) -> str:
    """Returns the path of a layer's sheet, from the run folder."""
    return f"sheets/{file_stem(layer)}.png"


def _visible(deconvolutions: Tensor) -> Tensor:
    return torch.stack([as_picture(image) for image in deconvolutions])


def _nine(images: Tensor) -> Tensor:
    """Returns up to nine pictures in three columns (3, H, W)."""
    factor = max(1, -(-_SIDE // images.shape[-1]))
    images = F.interpolate(images.float(), scale_factor=factor, mode="nearest")
    blank = images.new_ones((-len(images) % 3, *images.shape[1:]))
    return image_grid(torch.cat([images, blank]), 3, padding=1)


def _sheet(pairs: Sequence[Tensor]) -> Tensor:
    """Returns deconvolutions beside patches, channel after channel, as one picture."""
    columns = max(1, round((len(pairs) * 0.7) ** 0.5))
    return image_grid(torch.stack(list(pairs)), columns, padding=8)


def _png(image: Tensor) -> bytes:
    (picture,) = pictures(image[None])
    return png(picture)
