"""Images for training and validation, in an order that is a pure function of the seed.

A source is a dataset of (uint8 (C, H, W), label) with `classes`. If it has `sample(index, generator)`, that method
returns an augmented view drawn from the generator. The n-th sample of the training stream, including its augmentation,
depends only on (seed, n): workers, interruptions and the number of processes do not change it.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dgn.data.imagenet import readable
from dgn.data.loading import Loader, collate
from dgn.data.size import ImageSize, sides
from dgn.data.views import FixedViews
from dgn.errors import UserError

log = logging.getLogger(__name__)


class Source(Protocol):
    """Images, uint8 (C, H, W), with labels.

    It may have `channels`, their number (else they are RGB); `classes`, the labels' names; `labels`, the label of every
    image (`layer_labels`); `sample`; and `whole(index)`, the image without augmentation.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, int]: ...


class ImageData:
    """Batches (images, labels): images float (N, *image_shape) in image space, labels int64 (N,).

    `dgn.training.trainer_data` gives them to Lightning's Trainer: reading images does not import Lightning.

    Args:
        train, val: The sources.
        image_size: Side of the sources' images in pixels, or (height, width).
        batch_size: Training batch size, over all processes.
        num_workers: Number of worker processes; 0 reads in the training process.
        val_images: Number of validation images that are used, always the same ones.
        seed: Seed of order and augmentation.

    Raises:
        UserError: If a value is too small or a source is empty.
    """

    accumulate: int = 1
    """Number of batches per training step. The loader returns them as one batch, which the step splits
    (`dgn.training.accumulation`)."""

    overfit: int | None = None
    """Number of training images to train on, always the same ones; None: all."""

    views: FixedViews | None = None
    """The fixed views that are trained on instead of `train_source`; batches then have their rows as a third tensor."""

    judge: Mapping[str, Any] | None = None
    """Config of the network that recognizes the classes of these images with judge=auto; None: there is none."""

    def __init__(
        self,
        train: Source,
        val: Source,
        image_size: ImageSize,
        batch_size: int = 64,
        num_workers: int = 0,
        val_images: int = 512,
        seed: int = 0,
    ) -> None:
        for key, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if value < least:
                raise UserError(f"data.{key}={value} must be at least {least}")
        for name, source in (("training", train), ("validation", val)):
            if len(source) == 0:
                raise UserError(f"the {name} set holds no images")
        self.train_source, self.val_source = train, val
        self.image_size, self.batch_size, self.num_workers = image_size, batch_size, num_workers
        self.channels: int = getattr(train, "channels", 3)
        self.seed = seed
        self.val_indices = _some(len(val), val_images)
        self.classes: tuple[str, ...] = readable(getattr(train, "classes", ()))
        self._reported_bad: set[tuple[str, int]] = set()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images."""
        return (self.channels, *sides(self.image_size))

    @property
    def step_size(self) -> int:
        """Number of images per training step, over all processes."""
        return self.batch_size * self.accumulate

    def training_batches(self, first: int, last: int, rank: int = 0, world: int = 1) -> DataLoader:
        """The uint8 batches of the training steps first .. last - 1.

        Args:
            first: The first step. A resumed run continues at its step.
            last: The number of steps of the whole training; -1: endless.
            rank: The process whose rows are returned.
            world: The number of processes.

        Raises:
            UserError: If the batch size does not divide among the processes.
        """
        if self.batch_size % world:
            raise UserError(
                f"data.batch_size={self.batch_size} does not divide among {world} processes; give a multiple of "
                f"{world}, for example {-(-self.batch_size // world) * world}"
            )
        batches = StepBatches(self.step_size, first, last, rank, world)
        source: Any = self.train_source if self.views is None else self.views
        if self.overfit is not None:
            source = _Subset(source, _some(len(source), self.overfit))
        return self._loader(Stream(source, self.seed), batch_sampler=batches)

    def validation_batches(self, rank: int = 0, world: int = 1) -> DataLoader:
        """The uint8 batches of the validation images of one of `world` processes."""
        if len(self.val_indices) < world:
            raise UserError(f"data.val_images={len(self.val_indices)} are too few for {world} processes")
        mine = self.val_indices[rank::world]
        return self._loader(_Subset(self.val_source, mine), batch_size=min(64, self.batch_size))

    def prepared(self, batch: Any) -> Any:
        """Returns a batch of the loaders with its images in image space; called on the device where they are used."""
        images, labels = batch
        if not isinstance(labels, Tensor):  # labels and rows of fixed views
            return to_image_space(images), *labels
        return to_image_space(images), labels

    def report_unreadable(self) -> None:
        """Logs how many images could not be read, if there are any that were not reported before."""
        for name, source in (("training", self.train_source), ("validation", self.val_source)):
            bad = len(getattr(source, "bad", ()))
            if bad and (name, bad) not in self._reported_bad:
                self._reported_bad.add((name, bad))
                log.warning("%d of the %d %s images cannot be read and were passed over", bad, len(source), name)

    def real_images(self, count: int, split: str = "train") -> Iterator[tuple[Tensor, Tensor]]:
        """Yields batches of at most 64 (images, labels) in image space, on the CPU, for statistics over real images.

        They are whole images, without augmentation, if the source has them so (`Source`).

        Args:
            count: Number of images; at most those of the split.
            split: "train", the start of the training stream, or "val", a fixed choice of the validation images.
        """
        if split == "train":
            source: Any = Stream(self.train_source, self.seed, augmented=False)
            indices = list(range(min(count, len(self.train_source))))
        else:
            source, indices = self.val_source, _some(len(self.val_source), count)
        yield from self._batches(source, indices)

    def samples(self, places: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the images of the training stream at the given places, in batches as `real_images` does.

        Only these are read. Places 0 .. len(train) - 1 are each image of the training set once.
        """
        yield from self._batches(Stream(self.train_source, self.seed, augmented=False), list(places))

    def labels(self) -> Tensor | None:
        """The labels of the training stream's samples 0 .. len(train) - 1, int64, without reading an image.

        None if the source does not know them (`layer_labels`).
        """
        labels = layer_labels(self.train_source)
        return None if labels is None else labels[torch.from_numpy(Stream(self.train_source, self.seed).order(0))]

    def batches_of(self, dataset: Any, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields batches of at most 64 (images in image space, labels) of the first `count` items of a dataset."""
        yield from self._batches(dataset, range(count))

    def _batches(self, source: Any, indices: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        batches = [list(indices[i : i + 64]) for i in range(0, len(indices), 64)]
        for images, labels in self._loader(source, batch_sampler=batches):
            yield to_image_space(images), labels

    def _loader(self, dataset: Any, **batching: Any) -> DataLoader:
        return Loader(
            dataset,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=False,
            collate_fn=collate,
            # The loader draws its workers' seed from this generator instead of the training's.
            generator=torch.Generator().manual_seed(self.seed),
            **batching,
        )


def samples_of(data: ImageData | None, count: int = 256) -> Callable[[], Iterator[Tensor]] | None:
    """Returns a function that reads batches (N, C, H, W) of the first `count` images; None without data."""
    return None if data is None else lambda: (images for images, _ in data.real_images(count))


class Stream(Dataset):
    """An endless shuffled stream over a source: sample n is a function of (seed, n).

    Every len(source) samples are a permutation of the source, drawn from (seed, epoch); augmentation is drawn from
    (seed, n). `augmented=False` gives the same images whole, if the source has them so.
    """

    def __init__(self, source: Source, seed: int, augmented: bool = True) -> None:
        self.source, self.seed, self.augmented = source, seed, augmented
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __getitem__(self, n: int) -> tuple[Tensor, int]:
        return self.__getitems__([n])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[Tensor, int]]:
        indices = [self.index(n) for n in positions]
        if not self.augmented and hasattr(self.source, "whole"):
            return [self.source.whole(i) for i in indices]
        if hasattr(self.source, "sample"):
            generators = (np.random.Generator(np.random.Philox(key=[self.seed, n])) for n in positions)
            return [self.source.sample(i, g) for i, g in zip(indices, generators, strict=True)]
        return _items(self.source, indices)

    def index(self, n: int) -> int:
        """The index in the source of sample n."""
        epoch, place = divmod(n, len(self.source))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        return int(self._order[place])

    def order(self, epoch: int) -> np.ndarray:
        """The indices in the source of an epoch's samples, int64 (len(source),)."""
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.source))


class StepBatches:
    """Batch sampler: the stream's positions of steps first .. last for one of `world` processes.

    Its length counts from step 0, as the trainer does.
    """

    def __init__(self, batch_size: int, first: int, last: int, rank: int = 0, world: int = 1) -> None:
        self.batch_size, self.first, self.last, self.rank, self.world = batch_size, first, last, rank, world

    def __len__(self) -> int:
        return self.last

    def __iter__(self) -> Iterator[list[int]]:
        steps = itertools.count(self.first) if self.last < 0 else range(self.first, self.last)
        for step in steps:
            start = step * self.batch_size
            yield list(range(start + self.rank, start + self.batch_size, self.world))


def layer_labels(source: Source) -> Tensor | None:
    """Returns the label of every image of a source, int64 (len(source),), without reading an image.

    A source knows them as `labels` or, as torchvision's data sets do, `targets`. Returns None for any other source.
    """
    known = getattr(source, "labels", None)
    known = getattr(source, "targets", None) if known is None else known
    if known is None or len(known) != len(source):
        return None
    return torch.as_tensor(known, dtype=torch.int64)


def to_image_space(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> float in [0, 1], channels last in memory (the layout convolutions are fastest in)."""
    return images.to(memory_format=torch.channels_last).float().div_(255)


def _some(total: int, count: int) -> list[int]:
    """A fixed random choice of `count` of `total` indices, sorted; random, as images may be sorted by class."""
    return sorted(np.random.default_rng(0).permutation(total)[:count].tolist())


class _Subset(Dataset):
    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.source[self.indices[i]]

    def __getitems__(self, places: Sequence[int]) -> list[tuple[Tensor, int]]:
        return _items(self.source, [self.indices[i] for i in places])


def _items(source: Source, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
    if hasattr(source, "__getitems__"):
        return source.__getitems__(indices)
    return [source[i] for i in indices]
