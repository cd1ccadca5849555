"""The page of a network's layers: the filters of the first one, and statistics of all."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dgn.data.images import image_grid, pictures
from dgn.files import write_whole
from dgn.report.pages import render, write_assets
from dgn.report.real_images import png
from dgn.report.results import as_json
from dgn.report.words import flat

_SIDE = 48  # at least this many pixels for each filter


@dataclass(frozen=True)
class LayerShown:
    """A layer's row.

    Attributes:
        layer: Its name.
        shape: Shape of its activations.
        units: The number of channels.
        dead: How many of them have the same value everywhere.
        dead_units: Which these are.
        zero_share: The share of activations that are 0.
        sparsity: The median lifetime sparsity; NaN if it is not defined.
        mean: The mean activation.
        std: Their standard deviation.
    """

    layer: str
    shape: tuple[int, ...]
    units: int
    dead: int
    dead_units: Sequence[int]
    zero_share: float
    sparsity: float
    mean: float
    std: float


def write_layers(
    folder: Path,
    filters: tuple[str, Tensor] | None,
    layers: Sequence[LayerShown],
    images: int,
    title: str,
    command: str,
    settings: Mapping[str, Any],
) -> Path:
    """Writes filters.png, layers.csv and index.html; returns the page's path.

    Args:
        folder: The run folder.
        filters: The first layer's name and its filters (n, 3, h, w); None if they cannot be shown.
        layers: The layers' rows.
        images: The number of real images that were measured.
        title: The page's title.
        command: The command that reproduces it.
        settings: The run's settings.
    """
    write_assets(folder)
    shown = None
    if filters is not None:
        sheet = filter_sheet(filters[1])
        (picture,) = pictures(sheet[None])
        write_whole(folder / "filters.png", png(picture))
        size = tuple(filters[1].shape[-2:])
        shown = dict(layer=filters[0], count=len(filters[1]), size=size, width=picture.width, height=picture.height)
    write_whole(folder / "layers.csv", _table(layers))
    page = render(
        "layers.html",
        root="",
        title=title,
        filters=shown,
        layers=layers,
        images=images,
        command=command,
        settings=list(flat(as_json(settings))),
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def filter_sheet(filters: Tensor) -> Tensor:
    """Returns filters (n, 3, h, w) as a grid (3, H, W), each enlarged by a whole factor."""
    factor = max(1, -(-_SIDE // filters.shape[-1]))
    large = F.interpolate(filters, scale_factor=factor, mode="nearest")
    columns = min(len(filters), max(8, round((1.8 * len(filters)) ** 0.5)))
    return image_grid(large, columns, padding=3)


def _table(layers: Sequence[LayerShown]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", "shape", "units", "dead", "zero_share", "median_sparsity", "mean", "std", "dead_units"])
    for row in layers:
        shape, dead = "x".join(map(str, row.shape)), " ".join(map(str, row.dead_units))
        sparsity = "" if row.sparsity != row.sparsity else row.sparsity
        writer.writerow([row.layer, shape, row.units, row.dead, row.zero_share, sparsity, row.mean, row.std, dead])
    return text.getvalue()
