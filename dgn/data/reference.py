"""Real images for comparison with preferred images: read once, accessed by position."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from dgn.data.datamodule import ImageData, Stream, to_image_space

_KEPT = 2**30  # bytes of images that are cached; larger sets are read again each time
_BATCH = 64


class Reference:
    """The first `count` images of a split, called as `dgn.metrics.scorer.RealImages`: batches (images, labels).

    Attributes:
        count: the number of images; the split may hold fewer.
        classes: the names of their labels.
    """

    def __init__(self, data: ImageData, count: int, split: str = "train") -> None:
        self._data, self.count, self._split = data, count, split
        self.classes = tuple(data.classes)
        self._keeps = count * 3 * data.image_size**2 <= _KEPT
        self._images: Tensor | None = None
        self._labels = torch.empty(0, dtype=torch.long)

    def __call__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._images is None and self._keeps:
            read = [((images * 255).round().byte(), labels) for images, labels in self._read()]
            images, labels = zip(*read, strict=True)
            self._images, self._labels = torch.cat(images), torch.cat(labels)
        if self._images is None:
            yield from self._read()
            return
        for images, labels in zip(self._images.split(_BATCH), self._labels.split(_BATCH), strict=True):
            yield to_image_space(images), labels

    def images(self) -> Iterator[Tensor]:
        """The images alone."""
        return (images for images, _ in self())

    def images_at(self, indices: Iterable[int]) -> dict[int, Tensor]:
        """Returns the images (3, H, W) at the given indices, by index."""
        wanted, start = set(indices), 0
        picked: dict[int, Tensor] = {}
        for images, _ in self():
            picked |= {p: images[p - start].clone() for p in range(start, start + len(images)) if p in wanted}
            start += len(images)
        return picked

    def held_out(self, count: int) -> "Reference":
        """The same number of validation images, at most `count`."""
        return Reference(self._data, min(count, self.count), "val")

    def label(self, place: int) -> str:
        """The class name of an image; "" if classes have no names."""
        if not self.classes:
            return ""
        if not len(self._labels):
            self._labels = torch.cat([labels for _, labels in self()])
        return self.classes[int(self._labels[place])]

    def facets(self, places: Sequence[int]) -> list[str] | None:
        """The facets (kinds within a class) of images, if the data define them; else None."""
        source = self._data.train_source if self._split == "train" else self._data.val_source
        known = getattr(source, "facets", None)
        if known is None or self._split != "train":
            return None
        all_, stream = known(), Stream(source, self._data.seed)
        return [all_[stream.index(place)] for place in places]

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._data.real_images(self.count, self._split)
