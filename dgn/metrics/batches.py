"""Streams of image batches: what every measurement over many images reads."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

BATCH = 64
"""Images that a network is given at once where images lie in one tensor."""

Images = Tensor | Iterable[Tensor]
"""Images (N, 3, H, W) in image space, or batches of them."""


def batches(images: Images) -> Iterator[Tensor]:
    """The images in batches; what comes in batches already stays as it is."""
    yield from images.split(BATCH) if isinstance(images, Tensor) else images


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
