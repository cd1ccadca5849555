"""Fixed views of images: the same crops and mirrors in every epoch, so that their codes can be kept."""

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.transforms import EvalTransform


class FixedViews(Dataset):
    """A source that shows each image in a few fixed views instead of in new ones each time.

    The views of an image are what the source's own augmentation gives for random numbers of (seed, image, view). A
    sample is (image, (label, row)), where the row, image * count + view, numbers all views.

    Args:
        source: The images (`dgn.data.datamodule.Source`). If it has no augmentation, each has one view, itself.
        count: The number of views of each image; 1: the image itself, without augmentation.
        seed: The seed of the views.
    """

    def __init__(self, source: Any, count: int, seed: int) -> None:
        changes = hasattr(source, "sample") and not isinstance(getattr(source, "transform", None), EvalTransform)
        self.source, self.seed, self.count, self.changes = source, seed, count if changes else 1, changes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        return self.view(index, 0)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Tensor, tuple[int, int]]:
        """Returns one of the views of an image; the generator chooses."""
        return self.view(index, int(generator.integers(self.count)))

    def view(self, index: int, view: int) -> tuple[Tensor, tuple[int, int]]:
        """Returns a view of an image, uint8 (3, H, W), with its label and its row."""
        row = index * self.count + view
        if self.count == 1:
            # Not the source's own item, which is augmented anew each time: the code that is kept is of one image.
            image, label = self.source.whole(index) if self.changes else self.source[index]
        else:
            image, label = self.source.sample(index, np.random.Generator(np.random.Philox(key=[self.seed, row])))
        return image, (int(label), row)

    def at(self, row: int) -> Tensor:
        """Returns the view of a row, uint8 (3, H, W)."""
        return self.view(*divmod(row, self.count))[0]

    @property
    def rows(self) -> int:
        """The number of views of all images."""
        return len(self) * self.count


class Rows(Dataset):
    """Chosen views by their rows: (image uint8 (3, H, W), row)."""

    def __init__(self, views: FixedViews, rows: Any) -> None:
        self.views, self.rows = views, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        row = int(self.rows[place])
        return self.views.at(row), row
