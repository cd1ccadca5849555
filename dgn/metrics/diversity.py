"""Diversity: how much the images of one unit differ between seeds, as the mean distance between two of them."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from dgn.data.images import as_images
from dgn.devices import double, moved
from dgn.metrics.features import extract_features
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

Space = Callable[[Tensor], Tensor]
"""Maps images (N, 3, H, W) to vectors (N, d), whose Euclidean distances are measured."""


def diversity(images: Any, groups: Sequence[Hashable], space: Space) -> dict[Hashable, float]:
    """Returns the mean distance between two different images of each group; NaN for a group of one image.

    Args:
        images: (N, 3, H, W) in image space, or anything that `as_images` accepts.
        groups: the group (unit or class) of each image.
        space: maps images to the vectors that are compared.
    """
    images = as_images(images)
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return {group: mean_distance(space(images[rows_of_group])) for group, rows_of_group in rows.items()}


@full_precision
def mean_distance(vectors: Tensor) -> float:
    """Returns the mean Euclidean distance over the n (n - 1) / 2 pairs of vectors (n, d); NaN if n < 2."""
    return float(torch.pdist(double(vectors)).mean())


def pixels(images: Tensor) -> Tensor:
    """Maps images to pixel space, in which distances are root mean square differences of pixel values (0 to 1)."""
    images = as_images(images)
    return images.float().flatten(1) / images[0].numel() ** 0.5


def features(judge: FeatureNet) -> Space:
    """Returns the space of the judge's penultimate features."""
    return lambda images: extract_features(judge, images)


def perceptual(net: FeatureNet, layers: Sequence[str]) -> Space:
    """Returns a space whose distances are the square root of LPIPS (Zhang et al. 2018) without learned weights.

    The channels at each position of each map are scaled to length 1; squared differences are averaged over positions
    and summed over layers.
    """

    @torch.no_grad()
    @full_precision
    def vectors(images: Tensor) -> Tensor:
        maps = net(moved(as_images(images), net.device), list(layers))
        return torch.cat([_unit_channels(maps[layer]).cpu() for layer in layers], 1)

    return vectors


def _unit_channels(activations: Tensor) -> Tensor:
    channels = activations.float().movedim(-1, 1) if activations.ndim == 3 else activations.float()
    scaled = channels / (channels.square().sum(1, keepdim=True).sqrt() + 1e-10)
    return scaled.flatten(1) / channels[0, 0].numel() ** 0.5
