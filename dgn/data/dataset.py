"""Labelled images, read on demand; unreadable images are logged, counted and skipped."""

import hashlib
import logging
import os
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.channels import RGB, ReadForm
from dgn.data.images import read_image
from dgn.data.transforms import Transform, generator_for
from dgn.errors import UserError

log = logging.getLogger(__name__)
T = TypeVar("T")

# Share of unreadable images above which training on the rest would hide a problem.
_BAD_ALLOWED = 0.01


class Pictures(Dataset):
    """Base class of datasets of encoded images: transform, labels, and handling of unreadable images.

    An unreadable image is logged once, with the number of them so far, and replaced by the next readable one and its
    label. More than 1% of unreadable images is an error. Workers and their parent share the count.

    Args:
        labels: int64 (N,); -1: none.
        classes: Names of the labels.
        transform: Converts an image to (C, H, W), the crop.
        where: Name of the dataset in messages ("the folder a/b").
    """

    form: ReadForm = RGB
    """What files are read as."""

    def __init__(self, labels: np.ndarray, classes: Sequence[str], transform: Transform, where: str) -> None:
        self.labels, self.classes, self.transform = torch.from_numpy(labels), tuple(classes), transform
        self.where = where
        self._bad = torch.zeros(len(labels), dtype=torch.bool).share_memory_()

    @abstractmethod
    def name(self, index: int) -> str:
        """Returns the name of image `index` in messages."""

    @abstractmethod
    def read(self, index: int) -> Tensor:
        """Reads image `index`, uint8 (C, H, W). Raises UserError if it cannot be read."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Returns a hash that changes if an image is added, removed or changed."""

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return self.form.channels or 3

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Like `sample`, with random choices from torch's generator (which a DataLoader seeds in its workers)."""
        return self.sample(index, generator_for(self.transform))

    def sample(self, index: int, generator: np.random.Generator | None) -> tuple[Tensor, int]:
        """Image, uint8 (C, H, W), and label; `generator` makes the transform's choices.

        Raises UserError once more than 1% of the pictures were found unreadable.
        """
        image, label = self._next_readable(index)
        return self.transform(image, generator), label

    def whole(self, index: int) -> tuple[Tensor, int]:
        """Like `sample`, without augmentation."""
        image, label = self._next_readable(index)
        return self.transform.evaluation()(image), label

    def sides(self, index: int) -> tuple[int, int]:
        """Returns height and width of image `index` as it is stored, in pixels."""
        height, width = self.read(index).shape[-2:]
        return height, width

    @property
    def bad(self) -> list[int]:
        """Indices of the unreadable images found so far by any worker."""
        return self._bad.nonzero().flatten().tolist()

    def verify(self, workers: int = 4, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Reads every picture in `workers` threads and returns the names of those that cannot be read.

        `progress(done, total)` is called after every picture. Raises UserError if they are more than 1%.
        """
        good = map_in_threads(lambda index: self._read_or_note(index) is not None, len(self), workers)
        for done, _ in enumerate(good, start=1):
            if progress:
                progress(done, len(self))
        return [self.name(i) for i in self.bad]

    def _next_readable(self, index: int) -> tuple[Tensor, int]:
        """Reads image `index`, or the next one that can be read, with its label."""
        for _ in range(len(self)):
            image = self._read_or_note(index)
            if image is not None:
                return image, int(self.labels[index])
            index = (index + 1) % len(self)
        raise UserError(f"no picture in {self.where} can be read")

    def _read_or_note(self, index: int) -> Tensor | None:
        if self._bad[index]:
            return None
        try:
            return self.read(index)
        except UserError as error:
            self._bad[index] = True
            bad = int(self._bad.sum())
            log.warning("%s (%d of %d pictures so far; the next one takes its place)", error, bad, len(self))
        if bad > _BAD_ALLOWED * len(self):
            raise UserError(
                f"{bad} of the {len(self)} pictures in {self.where} cannot be read, more than 1%, such as "
                f"{self.name(index)}; fix or remove them (the log names all that were found)"
            )
        return None


class ImageFiles(Pictures):
    """Pictures in files. root: their folder; names: of the files, relative to it (or absolute)."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        labels: np.ndarray,
        classes: Sequence[str],
        transform: Transform,
        form: ReadForm = RGB,
    ) -> None:
        super().__init__(labels, classes, transform, str(root))
        self.root, self.form = root, form
        # One array and not a list of str: a million objects would be copied into every worker, as each
        # touch of a reference count dirties its page.
        self._names = np.array([os.fsencode(name) for name in names])

    def path(self, index: int) -> Path:
        """The file that sample `index` comes from."""
        return self.root / os.fsdecode(self._names[index])

    def name(self, index: int) -> str:
        return str(self.path(index))

    def read(self, index: int) -> Tensor:
        return read_image(
            self.path(index), getattr(self.transform, "resize", None), self.form.channels, self.form.values
        )

    def sides(self, index: int) -> tuple[int, int]:
        try:
            with Image.open(self.path(index)) as picture:  # reads the header only
                return picture.height, picture.width
        except (OSError, ValueError):
            return super().sides(index)

    @property
    def bad_files(self) -> list[Path]:
        """The unreadable files found so far by any worker."""
        return [self.path(i) for i in self.bad]

    def fingerprint(self) -> str:
        """Returns a hash of the names, sizes and modification times of all files, and of what they are read as."""
        digest = hashlib.sha256(str(self.root.resolve()).encode())
        if self.form != RGB:
            digest.update(f"{self.form};".encode())
        for index, label in enumerate(self.labels.tolist()):
            digest.update(self._names[index])
            try:
                status = self.path(index).stat()
                digest.update(f" {label} {status.st_size} {status.st_mtime_ns};".encode())
            except OSError:  # reported when it is read
                digest.update(b" missing;")
        return digest.hexdigest()


def map_in_threads(function: Callable[[int], T], count: int, workers: int) -> Iterator[T]:
    """function(0), function(1), ... in order, `workers` at a time, a bounded number of results ahead."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque = deque()
        try:
            for index in range(count):
                ahead.append(pool.submit(function, index))
                if len(ahead) > 4 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
