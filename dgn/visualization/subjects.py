"""The images that are looked into: files, folders, preferred images of a gallery, doodles."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dgn.data.bands import ARRAYS
from dgn.data.doodles import draw
from dgn.data.exact import read_exact
from dgn.data.images import EXTENSIONS
from dgn.errors import UserError
from dgn.runs.folders import RESULTS

_DOODLES = re.compile(r"doodles?:(\d+)(?:-(\d+))?")
_MOST = 200


@dataclass(frozen=True)
class Subject:
    """An image to look into.

    Attributes:
        name: Its file name, or what it is.
        image: float (C, H, W) in image space.
        unit: The unit that it was made for, if it is a preferred image of a gallery.
    """

    name: str
    image: Tensor
    unit: str | None = None


def read_subjects(images: Sequence[str], doodle_size: int = 64, channels: int | None = None) -> list[Subject]:
    """Reads images.

    Args:
        images: Image files, folders of images, folders of galleries (the preferred images, each with its unit), or
            doodles, as in `doodle:7` or `doodles:0-15`: those of the validation split.
        doodle_size: The side at which doodles are drawn, in pixels.
        channels: The number of channels that files are read as; None: RGB.

    Raises:
        UserError: For a missing or unreadable image, and for a folder without images.
    """
    subjects: list[Subject] = []
    for name in images:
        if match := _DOODLES.fullmatch(name):
            first, last = int(match[1]), int(match[2] or match[1])
            subjects += [_doodle(index, doodle_size) for index in range(first, last + 1)]
        elif Path(name).is_dir():
            subjects += _of_folder(Path(name), channels)
        else:
            subjects.append(_of_file(Path(name), channels=channels))
    if not subjects:
        raise UserError("image=[] names no image; give a file, several, a folder, or doodle:7")
    if len(subjects) > _MOST:
        raise UserError(f"image= names {len(subjects)} images; a page shows at most {_MOST}: name fewer")
    return subjects


def _of_file(path: Path, unit: str | None = None, channels: int | None = None) -> Subject:
    return Subject(path.name, read_exact(path, channels), unit)


def _of_folder(folder: Path, channels: int | None) -> list[Subject]:
    """Returns the images of a folder, sorted by name; of a gallery its preferred images with their units."""
    if (folder / RESULTS).is_file() and (folder / "results.csv").is_file():
        with (folder / "results.csv").open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        if rows and {"image", "objective"} <= rows[0].keys():
            return [_of_file(folder / row["image"], row["objective"]) for row in rows]
    endings = EXTENSIONS if channels is None else (*EXTENSIONS, *ARRAYS)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not files:
        raise UserError(f"{folder} has no images ({' '.join(endings)}); name files, or a folder that has some")
    return [_of_file(path, channels=channels) for path in files]


def _doodle(index: int, size: int) -> Subject:
    doodle = draw(0, "val", index, min(max(size, 32), 256))
    image = torch.from_numpy(doodle.image).permute(2, 0, 1).float().div(255)
    return Subject(f"doodle {index}", image)
