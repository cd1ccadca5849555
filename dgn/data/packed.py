"""Images decoded once: packed in one file, or held in memory.

    python -m dgn.data.packed --root FOLDER --size 256 --out FILE

The file is a safetensors file (`labels` int64 (N,), `images` uint8 (N, C, H, W), classes in its metadata) which
is memory-mapped: reading an image takes the same time for any N, and the system caches pages that were read.
"""

import argparse
import copy
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.channels import check_channels, in_words
from dgn.data.dataset import Pictures, map_in_threads
from dgn.data.image_folder import ImageFolder, Split, split_indices
from dgn.data.packed_file import map_file, pack
from dgn.data.size import ImageSize, image_size, scaled, sides, written
from dgn.data.transforms import PAPER_RATIO, EvalTransform, StoredTransform, TrainTransform, Transform, generator_for
from dgn.errors import UserError
from dgn.runs.threads import processors

__all__ = ["InMemory", "PackedImages", "Stored", "main", "pack", "squares"]


class Stored(Dataset):
    """A dataset of decoded images in one tensor.

    Attributes:
        images: uint8 (M, C, H, W).
        labels: int64 (N,).
        classes: Names of the labels.
        transform: See `Pictures`.
        facets: Returns the facet (kind within a class) of every image, if known.

    `rows`, int64 (N,), selects the rows of `images` that belong to the dataset; None: all.
    """

    facets: Callable[[], list[str]] | None = None

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        transform: Transform,
        rows: np.ndarray | None = None,
    ) -> None:
        self.images, self.labels, self.classes, self.transform = images, labels, tuple(classes), transform
        self._rows = np.arange(len(images)) if rows is None else rows

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.sample(index, generator_for(self.transform))

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """The samples of a batch, views if possible; collating copies them."""
        generator = generator_for(self.transform)
        return [self.sample(index, generator) for index in indices]

    def sample(self, index: int, generator: np.random.Generator | None) -> tuple[Tensor, int]:
        """Image, uint8 (C, H, W), and label; `generator` makes the transform's choices."""
        return self.transform(self.images[self._rows[index]], generator), int(self.labels[index])

    def whole(self, index: int) -> tuple[Tensor, int]:
        """Like `sample`, without augmentation."""
        return self.transform.evaluation()(self.images[self._rows[index]]), int(self.labels[index])

    def sides(self, index: int) -> tuple[int, int]:
        """Returns height and width of the stored images, in pixels."""
        return self.images.shape[-2], self.images.shape[-1]


class PackedImages(Stored):
    """The images of a file written by `pack`, with the classes and labels of the packed folder.

    split, val_fraction, seed: as in ImageFolder; a file of a whole folder gives the same split as the folder.
    channels: the number that is expected; None: the file's.
    transform: by default TrainTransform(image_size, resize, mirror) for "train" and EvalTransform(image_size,
    resize) for the others.

    Raises:
        UserError: If the file is missing, truncated, of another format, or packed too small.
    """

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        *,
        image_size: ImageSize,
        resize: int | None = None,
        mirror: bool = True,
        val_fraction: float = 0.05,
        seed: int = 0,
        transform: Transform | None = None,
        channels: int | None = None,
    ) -> None:
        self.path = Path(path)
        images, labels, classes = map_file(self.path)
        _check_fits(self.path, images, image_size, resize, channels)
        if transform is None and split == "train":
            transform = TrainTransform(image_size, resize, mirror)
        rows = split_indices(len(labels), split, val_fraction, seed)
        transform = transform or EvalTransform(image_size, resize)
        super().__init__(images, torch.from_numpy(labels[rows]), classes, transform, rows)

    def __getstate__(self) -> dict:
        # Spawned workers map the file themselves; pickling would copy all of it.
        return {key: value for key, value in self.__dict__.items() if key != "images"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.images = map_file(self.path)[0]


class InMemory(Stored):
    """The images of a folder (or any Pictures), decoded once and held in memory.

    They take N * C * H * W bytes, which forked workers share. Every image is scaled by the folder's transform (Train-
    or EvalTransform) and center-cropped once, with the border that crops of a smaller image need; `folder.transform` is
    applied to the result at every access.
    `progress(done, total)` is called after every file.

    Raises:
        UserError: If reading `folder` fails, or this machine's memory is too small.
    """

    def __init__(self, folder: Pictures, workers: int = 4, progress: Callable[[int, int], None] | None = None) -> None:
        height, width = folder.transform.extent
        bytes_needed = len(folder) * folder.channels * height * width
        if bytes_needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            raise UserError(
                f"{len(folder)} pictures of {height} x {width} need {bytes_needed / 2**30:.1f} GiB, more than this "
                "machine's memory; pack them into a file (data.cache=disk, or python -m dgn.data.packed)"
            )
        images = torch.empty(len(folder), folder.channels, height, width, dtype=torch.uint8)
        super().__init__(images, folder.labels.clone(), folder.classes, folder.transform)
        for i, (image, label) in enumerate(map_in_threads(squares(folder).__getitem__, len(folder), workers)):
            self.images[i], self.labels[i] = image, label
            if progress:
                progress(i + 1, len(folder))


def squares(folder: Pictures) -> Pictures:
    """The images as they are stored: of the extent that the folder's transform cuts its crops from."""
    stored, transform = copy.copy(folder), folder.transform
    stored.transform = StoredTransform(transform.image_size, transform.resize, transform.square)
    return stored


def _check_fits(path: Path, images: Tensor, size: ImageSize, resize: int | None, channels: int | None) -> None:
    """Raises UserError if a file's images are too small, or of another number of channels."""
    stored, wanted = images.shape[-2:], scaled(size, resize or min(sides(size)))
    if stored[0] < wanted[0] or stored[1] < wanted[1]:
        height, width = scaled(size, max(round(min(sides(size)) * PAPER_RATIO), resize or 0))
        raise UserError(
            f"{path} holds pictures of {stored[0]} x {stored[1]}, too small for image_size {written(size)} and "
            f"resize {resize}; pack it again with --size {height if height == width else f'{height}x{width}'}"
        )
    if channels not in (None, images.shape[1]):
        raise UserError(
            f"{path} holds pictures of {in_words(images.shape[1])}, and data.channels={channels}; set "
            f"data.channels={images.shape[1]}, or pack it again with --channels {channels}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: packs a folder and prints a summary."""
    parser = argparse.ArgumentParser(prog="python -m dgn.data.packed", description="Pack a folder of pictures.")
    parser.add_argument("--root", required=True, help="folder: ROOT/CLASS/** or pictures without classes")
    parser.add_argument("--val-root", help="pack this folder, with the classes of --root as labels")
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--size", default="256", help="side of the stored squares, or HEIGHTxWIDTH (default: 256)")
    parser.add_argument("--channels", type=int, help="number of channels, for all but RGB pictures (docs/channels.md)")
    parser.add_argument("--values", type=float, nargs=2, help="the files' values of black and white (docs/channels.md)")
    parser.add_argument("--square", action="store_true", help="squeeze to a square and don't cut the middle out")
    parser.add_argument("--layout", default="auto", help="auto, classes or flat (default: auto)")
    parser.add_argument("--workers", type=int, default=processors(), help="threads (default: one a core)")
    options = parser.parse_args(arguments)
    try:
        size = _read_size(options.size)
        check_channels(options.channels, "--channels")
        folder = ImageFolder(
            options.root,
            "val" if options.val_root else "all",
            image_size=size,
            resize=min(sides(size)),
            square=options.square,
            val_root=options.val_root,
            layout=options.layout,
            transform=EvalTransform(size, min(sides(size)), options.square),
            channels=options.channels,
            values=options.values,
        )
        columns = (TextColumn("packing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("", total=len(folder))
            pack(folder, options.out, max(1, options.workers), lambda done, _: bar.update(task, completed=done))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    mib = os.path.getsize(options.out) / 2**20
    print(f"{options.out}: {len(folder)} pictures, {len(folder.classes)} classes, {mib:.0f} MiB", end="")
    print(f"; {len(folder.bad_files)} files could not be read" if folder.bad_files else "")


def _read_size(text: str) -> ImageSize:
    """Reads `256` or `240x320`."""
    numbers = text.split("x")
    return image_size([int(number) if number.isdecimal() else 0 for number in numbers], "--size")


if __name__ == "__main__":
    main()
