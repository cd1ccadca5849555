"""Streams of image batches: what every measurement over many images reads."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dgn.data.images import as_images

BATCH = 64
"""Images that a network is given at once where images lie in one tensor."""

Images = Tensor | np.ndarray | list[Any] | Iterable[Tensor]
"""Images (N, 3, H, W) in image space, or what else `as_images` takes for them, or batches of such."""


def batches(images: Images) -> Iterator[Tensor]:
    """The images in batches; what comes in batches already keeps them."""
    together = isinstance(images, Tensor | np.ndarray | Image.Image)
    if together or (isinstance(images, list | tuple) and images and _is_one(images[0])):
        yield from as_images(images).split(BATCH)
    else:
        yield from map(as_images, images)


def _is_one(image: Any) -> bool:
    """Whether an entry of a list is an image, and not a batch."""
    return isinstance(image, Image.Image) or getattr(image, "ndim", 4) == 3


def pick(images: Images, indices: Sequence[int]) -> Tensor:
    """The images at these places of a stream, in the order asked for, equal places as often as asked for:
    (len(indices), 3, H, W) on the CPU. Reads no further than the last of them."""
    wanted, found, start = set(indices), {}, 0
    for batch in batches(images):
        for place in range(start, start + len(batch)):
            if place in wanted:
                found[place] = batch[place - start].cpu()
        start += len(batch)
        if len(found) == len(wanted):
            break
    missing = sorted(wanted - found.keys())
    if missing:
        raise IndexError(f"the stream holds {start} images, none at {missing[0]}")
    return torch.stack([found[i] for i in indices])
