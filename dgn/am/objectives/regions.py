"""A channel in a region of the image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.terms import Reader
from dgn.networks.quoting import quoted


@dataclass(frozen=True)
class Region:
    """The mean of a channel over a region of its map.

    Attributes:
        layer: the layer's name.
        index: the channel.
        source: the image file of the mask, or an .npy file: white, or large, where the channel counts.
        mask: (height, width) of the layer's map; its sum is 1.
    """

    layer: str
    index: int
    source: str
    mask: Tensor = field(compare=False, repr=False)
    label = ""

    def __str__(self) -> str:
        return f"region({self.layer}:{self.index},{quoted(self.source)})"

    @property
    def short(self) -> str:
        return f"region({self.index},{quoted(self.source)})"

    @property
    def group(self) -> tuple[Any, ...]:
        return type(self), self.layer

    def values(self, activations: Tensor) -> Tensor:
        """Returns the term's value on N images, (N,), from its layer's map (N, C, H, W)."""
        return (activations[:, self.index] * self.mask.to(activations.device)).sum((1, 2))

    @staticmethod
    def reader(regions: Sequence["Region"], rows: Tensor) -> Reader:
        channels = torch.tensor([region.index for region in regions], device=rows.device)
        masks = torch.stack([region.mask for region in regions]).to(rows.device)
        return lambda activations: (activations[rows, channels] * masks).sum((1, 2))
