"""Images decoded once: packed in one file, or held in memory.

    python -m dgn.data.packed --root FOLDER --size 256 --out FILE

The file is a safetensors file (`labels` int64 (N,), `images` uint8 (N, 3, S, S), classes in its metadata) which
is memory-mapped: reading an image takes the same time for any N, and the system caches pages that were read.
"""

import argparse
import copy
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.dataset import Pictures, map_in_threads
from dgn.data.image_folder import ImageFolder, Split, split_indices
from dgn.data.transforms import PAPER_RATIO, EvalTransform, StoredTransform, TrainTransform, Transform, generator_for
from dgn.errors import UserError
from dgn.files import written_aside
from dgn.runs.threads import processors

_FORMAT = "dgn.packed.1"


class Stored(Dataset):
    """A dataset of decoded images in one tensor.

    Attributes:
        images: uint8 (M, 3, H, W).
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

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.sample(index, generator_for(self.transform))

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """The samples of a batch, views if possible; collating copies them."""
        generator = generator_for(self.transform)
        return [self.sample(index, generator) for index in indices]

    def sample(self, index: int, generator: np.random.Generator | None) -> tuple[Tensor, int]:
        """Image, uint8 (3, image_size, image_size), and label; `generator` makes the transform's choices."""
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
        image_size: int,
        resize: int | None = None,
        mirror: bool = True,
        val_fraction: float = 0.05,
        seed: int = 0,
        transform: Transform | None = None,
    ) -> None:
        self.path = Path(path)
        images, labels, classes = _map(self.path)
        stored = images.shape[-1]
        if max(image_size, resize or 0) > stored:
            raise UserError(
                f"{path} holds pictures of {stored} x {stored}, too small for image_size {image_size} and "
                f"resize {resize}; pack it again with --size {max(round(image_size * PAPER_RATIO), resize or 0)}"
            )
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
        self.images = _map(self.path)[0]


class InMemory(Stored):
    """The images of a folder (or any Pictures), decoded once and held in memory.

    They take N * 3 * resize^2 bytes, which forked workers share. Every image is scaled by the folder's transform
    (Train- or EvalTransform) and center-cropped once, with the border that crops of a smaller image need;
    `folder.transform` is applied to the result at every access.
    `progress(done, total)` is called after every file.

    Raises:
        UserError: If reading `folder` fails, or this machine's memory is too small.
    """

    def __init__(self, folder: Pictures, workers: int = 4, progress: Callable[[int, int], None] | None = None) -> None:
        size = folder.transform.resize
        bytes_needed = len(folder) * 3 * size**2
        if bytes_needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            raise UserError(
                f"{len(folder)} pictures of {size} x {size} need {bytes_needed / 2**30:.1f} GiB, more than this "
                "machine's memory; pack them into a file (data.cache=disk, or python -m dgn.data.packed)"
            )
        images = torch.empty(len(folder), 3, size, size, dtype=torch.uint8)
        super().__init__(images, folder.labels.clone(), folder.classes, folder.transform)
        for i, (image, label) in enumerate(map_in_threads(squares(folder).__getitem__, len(folder), workers)):
            self.images[i], self.labels[i] = image, label
            if progress:
                progress(i + 1, len(folder))


def squares(folder: Pictures) -> Pictures:
    """The images as they are stored: squares of the size that the folder's transform cuts its crops from."""
    stored, transform = copy.copy(folder), folder.transform
    stored.transform = StoredTransform(transform.image_size, transform.resize, transform.square)
    return stored


def pack(
    dataset: Any,
    path: str | Path,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes all samples of `dataset`, (uint8 (3, S, S), label) each, to `path`, atomically.

    `dataset.classes` is stored too. `workers` threads read a few samples ahead of the writing. `progress(done, total)`
    is called after every sample.

    Raises:
        UserError: If the disk is full or not writable, or reading `dataset` fails.
    """
    count, shape = len(dataset), tuple(dataset[0][0].shape)
    header = _header(count, shape, dataset.classes)
    labels = np.empty(count, dtype="<i8")
    with written_aside(path) as aside:
        needed, free = len(header) + count * (8 + math.prod(shape)), shutil.disk_usage(aside.parent).free
        if needed > free:
            raise UserError(
                f"{path} would take {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free there; choose "
                "another disk or a smaller size"
            )
        with open(aside, "wb") as file:
            file.write(header)
            file.seek(labels.nbytes, os.SEEK_CUR)  # known last, stored first so that they are aligned
            for i, (image, label) in enumerate(map_in_threads(dataset.__getitem__, count, workers)):
                if tuple(image.shape) != shape:
                    raise ValueError(f"sample {i} has the shape {tuple(image.shape)}, the first had {shape}")
                labels[i] = label
                file.write(image.numpy().tobytes())
                if progress:
                    progress(i + 1, count)
            file.seek(len(header))
            file.write(labels.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _header(count: int, shape: tuple[int, ...], classes: Sequence[str]) -> bytes:
    labels = 8 * count
    fields = {
        "__metadata__": {"format": _FORMAT, "classes": json.dumps(list(classes))},
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, labels]},
        "images": {
            "dtype": "U8",
            "shape": [count, *shape],
            "data_offsets": [labels, labels + count * math.prod(shape)],
        },
    }
    text = json.dumps(fields).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _map(path: Path) -> tuple[Tensor, np.ndarray, tuple[str, ...]]:
    """Maps a file: images uint8 (N, 3, S, S), labels int64 (N,), and classes."""
    foreign = UserError(f"{path} is not a file of packed pictures; make one with python -m dgn.data.packed")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise foreign
            header = file.read(length)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it with python -m dgn.data.packed") from None
    try:
        fields = json.loads(header)
        if fields["__metadata__"]["format"] != _FORMAT:
            raise foreign
        classes = tuple(json.loads(fields["__metadata__"]["classes"]))
        count, channels, height, width = fields["images"]["shape"]
        shape = (channels, height, width)
        if header != _header(count, shape, classes)[8:]:
            raise foreign
        if not all(type(n) is int and n > 0 for n in (count, *shape)) or channels != 3 or height != width:
            raise foreign
        if not all(isinstance(name, str) for name in classes):
            raise foreign
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise foreign from None
    whole = 8 + length + count * (8 + math.prod(shape))
    if size != whole:
        raise UserError(f"{path} is damaged: {size} bytes where {whole} were written; pack it again")
    # "c" (copy on write): torch requires writable memory; the file is not changed.
    labels = np.memmap(path, "<i8", "c", 8 + length, (count,))
    if labels.min() < 0 or labels.max() >= max(1, len(classes)):
        raise UserError(f"{path} is damaged: a label is none of its {len(classes)} classes; pack it again")
    images = np.memmap(path, np.uint8, "c", 8 + length + labels.nbytes, (count, *shape))
    return torch.from_numpy(images), labels, classes


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: packs a folder and prints a summary."""
    parser = argparse.ArgumentParser(prog="python -m dgn.data.packed", description="Pack a folder of pictures.")
    parser.add_argument("--root", required=True, help="folder: ROOT/CLASS/** or pictures without classes")
    parser.add_argument("--val-root", help="pack this folder, with the classes of --root as labels")
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--size", type=int, default=256, help="side of the stored squares (default: 256)")
    parser.add_argument("--square", action="store_true", help="squeeze to a square and don't cut the middle out")
    parser.add_argument("--layout", default="auto", help="auto, classes or flat (default: auto)")
    parser.add_argument("--workers", type=int, default=processors(), help="threads (default: one a core)")
    options = parser.parse_args(arguments)
    try:
        folder = ImageFolder(
            options.root,
            "val" if options.val_root else "all",
            image_size=options.size,
            resize=options.size,
            square=options.square,
            val_root=options.val_root,
            layout=options.layout,
            transform=EvalTransform(options.size, options.size, options.square),
        )
        columns = (TextColumn("packing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("", total=len(folder))
            pack(folder, options.out, max(1, options.workers), lambda done, _: bar.update(task, completed=done))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    size = os.path.getsize(options.out) / 2**20
    print(f"{options.out}: {len(folder)} pictures, {len(folder.classes)} classes, {size:.0f} MiB", end="")
    print(f"; {len(folder.bad_files)} files could not be read" if folder.bad_files else "")


if __name__ == "__main__":
    main()
