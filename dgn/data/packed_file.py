"""The file of packed images: written image by image, and read by mapping it into memory.

It is a safetensors file: `labels` int64 (N,), `images` uint8 (N, C, H, W), and the classes in its metadata.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.data.dataset import map_in_threads
from dgn.errors import UserError
from dgn.files import written_aside

_FORMAT = "dgn.packed.1"


def pack(
    dataset: Any,
    path: str | Path,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes all samples of `dataset`, (uint8 (C, H, W), label) each, to `path`, atomically.

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


def map_file(path: Path) -> tuple[Tensor, np.ndarray, tuple[str, ...]]:
    """Maps a file: images uint8 (N, C, H, W), labels int64 (N,), and classes."""
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
        if not all(type(n) is int and n > 0 for n in (count, *shape)):
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
    if labels.min() < -1 or (classes and labels.max() >= len(classes)):
        raise UserError(f"{path} is damaged: a label is none of its {len(classes)} classes; pack it again")
    images = np.memmap(path, np.uint8, "c", 8 + length + labels.nbytes, (count, *shape))
    return torch.from_numpy(images), labels, classes


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
