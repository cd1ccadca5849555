"""Real images for comparison with preferred images, accessed by their place in the training stream."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.data.datamodule import ImageData, Stream, to_image_space
from dgn.runs.progress import announced

_KEPT = 2**30  # bytes of images that are cached; larger sets are read again each time
_BATCH = 64


class Reference:
    """The first `count` images of a split, called for batches (images, labels) from the first.

    An image's place is its position in the training stream. Places below the size of the training set name each of
    its images once; `of_classes`, `read`, `images_at` and `label` know all of them, and not only the first `count`.

    Attributes:
        count: the number of images.
        classes: the names of their labels.
        image_shape: (channels, height, width) of the images.
    """

    def __init__(self, data: ImageData, count: int, split: str = "train") -> None:
        self._data, self._split = data, split
        self.count = min(count, len(data.train_source if split == "train" else data.val_source))
        self.classes, self.image_shape = tuple(data.classes), data.image_shape
        self._keeps = self.count * math.prod(data.image_shape) <= _KEPT
        self._images: Tensor | None = None
        self._labels = torch.empty(0, dtype=torch.long)
        self._all_labels = data.labels() if split == "train" else None

    def __call__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._images is None and self._keeps:
            read = [((images * 255).round().byte(), labels) for images, labels in self._read()]
            images, labels = zip(*read, strict=True)
            self._images, self._labels = torch.cat(images), torch.cat(labels)
        if self._images is None:
            yield from self._read()
            return
        batches = zip(self._images.split(_BATCH), self._labels.split(_BATCH), strict=True)
        for images, labels in announced(
            batches,
            self.count,
            "Running a network on real images, for percentiles, distances and top images",
            "fewer with reference_images=N, 0: none",
            _BATCH,
        ):
            yield to_image_space(images), labels

    def images(self) -> Iterator[Tensor]:
        """The images alone."""
        return (images for images, _ in self())

    def labels(self) -> Tensor:
        """The labels of the first `count` images, as they are read; the images are read once for it."""
        if not len(self._labels):
            self._labels = torch.cat([labels for _, labels in self()])
        return self._labels

    def of_classes(self, labels: Iterable[int]) -> dict[int, list[int]]:
        """Returns the places of all training images of each class, ascending; [] for a class without images.

        They come from the source's labels, without reading an image (`dgn.data.datamodule.layer_labels`). For a source
        that does not know its labels they are those among the first `count` images, which are read once.
        """
        known = self.labels() if self._all_labels is None else self._all_labels
        # sorted once: a thousand searches of a million labels would take a thousand times as long
        order = known.argsort(stable=True)
        ordered = known[order]
        places = {}
        for label in dict.fromkeys(labels):
            first, last = torch.searchsorted(ordered, torch.tensor([label, label + 1])).tolist()
            places[label] = order[first:last].tolist()
        return places

    def read(self, places: Sequence[int]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yields batches (places, images, labels) of the training images at the given places, in their order.

        An image that cannot be read is replaced by another one, perhaps of another label; labels are those of the
        images that are returned.
        """
        return announced(
            self._samples(places),
            len(places),
            "Reading training images and running networks on them, for the nearest ones and starts",
            "fewer with nearest_images=N, 0: none, or start=noise",
            _BATCH,
        )

    def images_at(self, places: Iterable[int]) -> dict[int, Tensor]:
        """Returns the images (3, H, W) at the given places, by place."""
        picked: dict[int, Tensor] = {}
        for part, images, _ in self.read(sorted(set(places))):
            picked |= {place: image.clone() for place, image in zip(part, images, strict=True)}
        return picked

    def held_out(self, count: int) -> "Reference":
        """The same number of validation images, at most `count`."""
        return Reference(self._data, min(count, self.count), "val")

    def label(self, place: int) -> str:
        """The class name of an image; "" if classes have no names."""
        if not self.classes:
            return ""
        known = self.labels() if self._all_labels is None else self._all_labels
        return self.classes[int(known[place])]

    def facets(self, places: Sequence[int]) -> list[str] | None:
        """The facets (kinds within a class) of images, if the data define them; else None."""
        source = self._data.train_source if self._split == "train" else self._data.val_source
        known = getattr(source, "facets", None)
        if known is None or self._split != "train":
            return None
        all_, stream = known(), Stream(source, self._data.seed)
        return [all_[stream.index(place)] for place in places]

    def _samples(self, places: Sequence[int]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        held = self._images
        if held is not None and all(place < len(held) for place in places):
            for start in range(0, len(places), _BATCH):
                part = list(places[start : start + _BATCH])
                yield part, to_image_space(held[part]), self._labels[part]
            return
        start = 0
        for images, labels in self._data.samples(places):
            yield list(places[start : start + len(images)]), images, labels
            start += len(images)

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        return announced(
            self._data.real_images(self.count, self._split),
            self.count,
            "Reading real images, for percentiles, distances and top images",
            "fewer with reference_images=N, 0: none",
            _BATCH,
        )


@dataclass(frozen=True)
class TrainingImages:
    """The training images that preferred images may have been copied from.

    Attributes:
        reference: gives the images.
        of_class: images of each class, at most; None: all.
    """

    reference: Reference
    of_class: int | None = None

    @property
    def count(self) -> int:
        """Images without regard to class: those of the reference, whose places are below this."""
        return self.reference.count

    def of_labels(self, labels: Collection[int | None]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yields batches (places, images, labels): the images of each class, one class after another.

        If None is among the labels, the images of the reference that are of no other one follow. Each image is read
        once.
        """
        of_classes = self.reference.of_classes(sorted(label for label in labels if label is not None))
        places = [place for own in of_classes.values() for place in own[: self.of_class]]
        if None in labels:
            known = set(places)
            places += [place for place in range(self.reference.count) if place not in known]
        return self.reference.read(places)
