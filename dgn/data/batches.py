"""Streams of image batches, the input of all measurements over many images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dgn.data.images import as_images

BATCH = 64
"""Batch size for images that are given as one tensor."""

Images = Tensor | np.ndarray | list[Any] | Iterable[Tensor]
"""Images (N, 3, H, W) in image space, anything else that `as_images` accepts, or batches of these."""


def batches(images: Images) -> Iterator[Tensor]:
    """Yields the images in batches; an iterable of batches keeps its own."""
    together = isinstance(images, Tensor | np.ndarray | Image.Image)
    if together or (isinstance(images, list | tuple) and images and _is_one(images[0])):
        yield from as_images(images).split(BATCH)
    else:
        yield from map(as_images, images)


def _is_one(image: Any) -> bool:
    """Whether an item of a list is a single image instead of a batch."""
    return isinstance(image, Image.Image) or getattr(image, "ndim", 4) == 3


def pick(images: Images, indices: Sequence[int]) -> Tensor:
    """Returns the images at the given positions of a stream. Stops reading after the last of them.

    Args:
        images: The images or batches.
        indices: Positions in the stream, in any order, possibly repeated.

    Returns:
        (len(indices), 3, H, W) on the CPU, in the order of `indices`.

    Raises:
        IndexError: If the stream is too short.
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
