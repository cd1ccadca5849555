"""Streams of image batches: what every measurement over many images reads."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dgn.data.images import as_images

BATCH = 64
"""Batch size for images in one tensor."""

Images = Tensor | np.ndarray | list[Any] | Iterable[Tensor]
"""Images (N, 3, H, W) in image space, or anything that `as_images` accepts, or batches of these."""


def batches(images: Images) -> Iterator[Tensor]:
    """Yields the images in batches; existing batches are kept."""
    together = isinstance(images, Tensor | np.ndarray | Image.Image)
    if together or (isinstance(images, list | tuple) and images and _is_one(images[0])):
        yield from as_images(images).split(BATCH)
    else:
        yield from map(as_images, images)


def _is_one(image: Any) -> bool:
    """Whether an entry of a list is an image, and not a batch."""
    return isinstance(image, Image.Image) or getattr(image, "ndim", 4) == 3


def pick(images: Images, indices: Sequence[int]) -> Tensor:
    """Returns the images at the given indices of a stream, in that order, (len(indices), 3, H, W), on the CPU.

    Stops reading after the last of them. Indices may repeat.

    Raises:
        IndexError: if the stream has no image at an index.
    """
    wanted, picked, start = set(indices), {}, 0
    for batch in batches(images):
        for place in range(start, start + len(batch)):
            if place in wanted:
                picked[place] = batch[place - start].cpu()
        start += len(batch)
        if len(picked) == len(wanted):
            break
    missing = sorted(wanted - picked.keys())
    if missing:
        raise IndexError(f"the stream holds {start} images, none at {missing[0]}")
    return torch.stack([picked[i] for i in indices])
