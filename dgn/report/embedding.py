"""The page of an embedding: images laid out on a grid, and a scatter that can be zoomed, coloured by class."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.display import as_rgb
from dgn.data.images import image_grid, pictures
from dgn.files import write_whole
from dgn.report.pages import render, write_assets
from dgn.report.real_images import png
from dgn.report.results import as_json
from dgn.report.words import flat

_THUMB = 40  # side of a picture on the grid and in the scatter, in pixels


@dataclass(frozen=True)
class EmbeddingShown:
    """Images with places in the plane.

    Attributes:
        name: The method's name.
        layer: The layer whose codes are laid out.
        images: (N, 3, H, W).
        places: (N, 2).
        cells: (N, 2), row and column on the grid.
        labels: The class of each image; "" if unknown.
        marked: {unit: the images that excite it most}.
    """

    name: str
    layer: str
    images: Tensor
    places: np.ndarray
    cells: np.ndarray
    labels: Sequence[str]
    marked: Mapping[str, Sequence[int]] = field(default_factory=dict)


def write_embedding(folder: Path, shown: EmbeddingShown, title: str, command: str, settings: Mapping[str, Any]) -> Path:
    """Writes grid.png, thumbs.png, embedding.csv and index.html; returns the page's path."""
    write_assets(folder)
    thumbs = thumbnails(as_rgb(shown.images.float()), _THUMB)
    columns = int(shown.cells[:, 1].max()) + 1
    rows = int(shown.cells[:, 0].max()) + 1
    laid = torch.ones(rows * columns, 3, _THUMB, _THUMB)
    laid[torch.as_tensor(shown.cells[:, 0] * columns + shown.cells[:, 1])] = thumbs
    write_whole(folder / "grid.png", _png(image_grid(laid, columns, padding=1)))
    atlas = int(np.ceil(len(thumbs) ** 0.5))
    write_whole(folder / "thumbs.png", _png(image_grid(thumbs, atlas, padding=0)))
    write_whole(folder / "embedding.csv", _table(shown))
    classes = sorted(set(filter(None, shown.labels)))
    numbers = {name: place for place, name in enumerate(classes)}
    data = dict(
        places=np.round(_centred(shown.places), 5).tolist(),
        labels=[numbers.get(label, -1) for label in shown.labels],
        classes=classes,
        columns=atlas,
        thumb=_THUMB,
        marked={name: list(map(int, places)) for name, places in shown.marked.items()},
    )
    page = render(
        "embedding.html",
        root="",
        title=title,
        shown=shown,
        classes=classes,
        size=(columns * (_THUMB + 1) + 1, rows * (_THUMB + 1) + 1),
        data=json.dumps(data).replace("<", "\\u003c"),
        command=command,
        settings=list(flat(as_json(settings))),
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def thumbnails(images: Tensor, side: int) -> Tensor:
    """Returns whole images in squares of a side, in their own proportions, in the middle of a white ground.

    Args:
        images: (N, C, H, W) in image space.
        side: The squares' side, in pixels.

    Returns:
        (N, C, side, side).
    """
    height, width = (max(1, round(side * length / max(images.shape[-2:]))) for length in images.shape[-2:])
    small = F.interpolate(images, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    above, before = (side - height) // 2, (side - width) // 2
    return F.pad(small, (before, side - width - before, above, side - height - above), value=1.0)


def _centred(places: np.ndarray) -> np.ndarray:
    """Returns places (N, 2) with their middle at 0.5, the longer axis from 0 to 1, and the other at the same scale."""
    low, high = places.min(0), places.max(0)
    return (places - (low + high) / 2) / np.maximum(high - low, 1e-9).max() + 0.5


def _table(shown: EmbeddingShown) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "x", "y", "row", "column"])
    for i, (label, place, cell) in enumerate(zip(shown.labels, shown.places, shown.cells, strict=True)):
        writer.writerow([i, label, *map(float, place), *map(int, cell)])
    return text.getvalue()


def _png(image: Tensor) -> bytes:
    (picture,) = pictures(image[None])
    return png(picture)
