"""Where the training image nearest to a preferred one is looked for."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

RealImages = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Batches (images in image space, labels) of real images, from the first, each time it is called."""

Numbered = Iterable[tuple[Sequence[int], Tensor, Tensor]]
"""Batches (places, images in image space, labels) of real images; a place is an image's number in its stream."""


class Training(Protocol):
    """Training images that preferred images may have been copied from (`dgn.data.reference.TrainingImages`)."""

    @property
    def count(self) -> int | None:
        """Images without a class are compared with those whose place is below this; None: with all."""

    def of_labels(self, labels: Collection[int | None]) -> Numbered:
        """Returns the images of the classes; with None among them, also those of any class."""


@dataclass(frozen=True)
class TrainingStream:
    """Real images as `Training`: all of a stream, whatever their class."""

    real: RealImages
    count: int | None = None

    def of_labels(self, labels: Collection[int | None]) -> Numbered:
        return numbered(self.real())


def numbered(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[range, Tensor, Tensor]]:
    """Numbers batches (images, labels) from 0."""
    start = 0
    for images, labels in batches:
        if len(images):
            yield range(start, start + len(images)), images, labels
        start += len(images)
