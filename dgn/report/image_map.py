"""A map of real images, laid out by their codes, on which each unit's page marks the images that excite it most."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from dgn.data.images import pictures
from dgn.files import write_whole
from dgn.report.contents import ImageMap
from dgn.report.real_images import png

PATH = "real/map.png"
_SIDE, _THUMB, _MARGIN = 640, 26, 20  # pixels


def write_map(folder: Path, image_map: ImageMap) -> str:
    """Writes the map with a transparent background; returns its path from the run folder."""
    sheet = Image.new("RGBA", (_SIDE, _SIDE))
    thumbs = F.interpolate(image_map.images.float(), (_THUMB, _THUMB), mode="bilinear", antialias=True).clamp(0, 1)
    for picture, (x, y) in zip(pictures(thumbs), image_map.places.tolist(), strict=True):
        left, top = in_percent(x, y)
        corner = round(_SIDE * left / 100 - _THUMB / 2), round(_SIDE * top / 100 - _THUMB / 2)
        sheet.paste(picture, corner)
    write_whole(folder / PATH, png(sheet))
    return PATH


def in_percent(x: float, y: float) -> tuple[float, float]:
    """Returns a place in [0, 1]^2, whose second axis points up, in percent of the map from its left and top."""
    inner = 1 - 2 * _MARGIN / _SIDE
    return round(100 * (_MARGIN / _SIDE + inner * x), 2), round(100 * (_MARGIN / _SIDE + inner * (1 - y)), 2)


def marks(image_map: ImageMap, objective: str) -> list[tuple[float, float]]:
    """Returns where a unit's top images lie on the map, in percent from its left and top."""
    places = image_map.tops.get(objective, torch.empty(0, 2))
    return [in_percent(x, y) for x, y in places.tolist()]
