"""Changed versions of a data set: modified images, images of some classes, and both kinds as twice as many classes.

    data:
      _target_: dgn.data.modified.twice      # regular and modified images of every class
      data: {_target_: dgn.data.sources.doodles, ...}
      modification: shuffled

Nguyen et al. 2016 (3.5, S19 to S21) train a network with twice the classes, half of them with modified images, to see
whether preferred images show the modification.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from dgn.data.datamodule import ImageData, layer_labels
from dgn.errors import UserError

Change = Callable[[Tensor, np.random.Generator], Tensor]
"""An image, uint8 (3, H, W), and random choices -> a changed image of the same shape."""


def shuffled(image: Tensor, random: np.random.Generator) -> Tensor:
    """Moves every quarter of the image to another place."""
    height, width = (side // 2 for side in image.shape[1:])
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    order = random.permutation(4)
    while (order == np.arange(4)).any():
        order = random.permutation(4)
    changed = image.clone()
    for place, source in zip(corners, order.tolist(), strict=True):
        y, x = corners[source]
        changed[:, place[0] : place[0] + height, place[1] : place[1] + width] = image[:, y : y + height, x : x + width]
    return changed


def brg(image: Tensor, random: np.random.Generator) -> Tensor:
    """Shows blue as red, red as green and green as blue."""
    return image[[2, 0, 1]]


def blurred(image: Tensor, random: np.random.Generator) -> Tensor:
    """Blurs with a radius of 3 pixels, the paper's."""
    return _by_pillow(image, lambda picture: picture.filter(ImageFilter.GaussianBlur(3)))


def turned(image: Tensor, random: np.random.Generator) -> Tensor:
    """Turns the image by 0, 90, 180 or 270 degrees: its pose varies."""
    return torch.rot90(image, int(random.integers(4)), (1, 2))


def outlined(image: Tensor, random: np.random.Generator) -> Tensor:
    """Draws the edges of the image as dark lines on white: another drawing style."""
    return _by_pillow(image, _edges)


MODIFICATIONS: Mapping[str, Change] = {f.__name__: f for f in (shuffled, brg, blurred, turned, outlined)}


def modified(data: ImageData, modification: str) -> ImageData:
    """Returns the data with every image modified.

    Args:
        data: the data.
        modification: one of MODIFICATIONS.
    """
    change = _change(modification)
    return _with(data, lambda source: _Changed(source, [change], len(data.classes)), data.classes)


def twice(data: ImageData, modification: str) -> ImageData:
    """Returns data with twice the classes: the images as they are, and modified images of the same classes.

    Args:
        data: the data; it has classes.
        modification: one of MODIFICATIONS.
    """
    change, classes = _change(modification), tuple(data.classes)
    if not classes:
        raise UserError("twice the classes needs images with classes; use class folders")
    names = (*classes, *(f"{modification} {name}" for name in classes))
    return _with(data, lambda source: _Changed(source, [None, change], len(classes)), names)


def of_classes(data: ImageData, part: int, parts: int = 2) -> ImageData:
    """Returns the images of a part of the classes.

    Args:
        data: the data; its source knows its labels.
        part: which part, from 0.
        parts: into how many the classes are divided: class c is in part c modulo parts.
    """
    kept = [i for i in range(len(data.classes)) if i % parts == part]
    if not kept:
        raise UserError(
            f"part {part} of {parts} of {len(data.classes)} classes is empty; give images with more classes"
        )
    names = tuple(data.classes[i] for i in kept)
    return _with(data, lambda source: _OfClasses(source, kept), names)


def alter(images: Tensor, modification: str, seed: int = 0) -> Tensor:
    """Returns images (N, 3, H, W) in image space, modified."""
    change = _change(modification)
    levels = images.mul(255).round().clamp(0, 255).byte()
    changed = [change(image, np.random.default_rng((seed, i))) for i, image in enumerate(levels)]
    return torch.stack(changed).float() / 255


def _change(name: str) -> Change:
    if name not in MODIFICATIONS:
        raise UserError(f"modification={name}: choose one of {', '.join(MODIFICATIONS)}")
    return MODIFICATIONS[name]


def _by_pillow(image: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    picture = change(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()))
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def _edges(picture: Image.Image) -> Image.Image:
    levels = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(0.5)), dtype=np.float32)
    down, across = np.gradient(levels)
    return Image.fromarray((255 - np.clip(5 * np.hypot(down, across), 0, 255)).astype(np.uint8))


def _with(data: ImageData, wrap: Callable[[Any], Dataset], classes: Sequence[str]) -> ImageData:
    sources: list[Any] = [wrap(data.train_source), wrap(data.val_source)]
    for source in sources:
        source.classes = tuple(classes)
    size, batch, workers = data.image_size, data.batch_size, data.num_workers
    return ImageData(sources[0], sources[1], size, batch, workers, len(data.val_indices), data.seed)


class _Changed(Dataset):
    """The images of a source, once for each change (None: as they are); the n-th change's labels are n * classes on."""

    def __init__(self, source: Any, changes: Sequence[Change | None], classes: int) -> None:
        self.source, self.changes, self.per = source, list(changes), classes
        known = layer_labels(source)
        if known is not None:
            self.labels = torch.cat([known + n * classes for n in range(len(changes))])

    def __len__(self) -> int:
        return len(self.source) * len(self.changes)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._changed(index, self.source[index % len(self.source)])

    def whole(self, index: int) -> tuple[Tensor, int]:
        place = index % len(self.source)
        return self._changed(index, self.source.whole(place) if hasattr(self.source, "whole") else self.source[place])

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Tensor, int]:
        place = index % len(self.source)
        has_views = hasattr(self.source, "sample")
        return self._changed(index, self.source.sample(place, generator) if has_views else self.source[place])

    def _changed(self, index: int, item: tuple[Tensor, int]) -> tuple[Tensor, int]:
        image, label = item
        n = index // len(self.source)
        change = self.changes[n]
        if change is not None:
            image = change(image, np.random.default_rng(index))
        return image, label + n * self.per


class _OfClasses(Dataset):
    """The images of some classes of a source, with labels 0, 1, ..."""

    def __init__(self, source: Any, kept: Sequence[int]) -> None:
        known = layer_labels(source)
        if known is None:
            known = torch.tensor([int(source[i][1]) for i in range(len(source))])
        self.source, self.number = source, {label: n for n, label in enumerate(kept)}
        self.places = torch.isin(known, torch.tensor(list(kept))).nonzero().flatten().tolist()
        self.labels = torch.tensor([self.number[int(known[place])] for place in self.places])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._numbered(self.source[self.places[index]])

    def whole(self, index: int) -> tuple[Tensor, int]:
        place = self.places[index]
        return self._numbered(self.source.whole(place) if hasattr(self.source, "whole") else self.source[place])

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Tensor, int]:
        place = self.places[index]
        has_views = hasattr(self.source, "sample")
        return self._numbered(self.source.sample(place, generator) if has_views else self.source[place])

    def _numbered(self, item: tuple[Tensor, int]) -> tuple[Tensor, int]:
        return item[0], self.number[int(item[1])]
