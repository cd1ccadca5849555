"""Diversity: how much the seeds of one unit differ, as the mean distance between two of its images."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from dgn.metrics.features import features_of
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

Space = Callable[[Tensor], Tensor]
"""images (N, 3, H, W) -> vectors (N, d), whose Euclidean distances are meant."""


def diversity(images: Tensor, groups: Sequence[Hashable], space: Space) -> dict[Hashable, float]:
    """images (N, 3, H, W), the group (unit, class) of each -> the mean distance between two different images of a
    group; NaN for a group of one."""
    places: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return {group: mean_distance(space(images[rows])) for group, rows in places.items()}


@full_precision
def mean_distance(vectors: Tensor) -> float:
    """vectors (n, d) -> the mean Euclidean distance over the n (n - 1) / 2 pairs; NaN where n < 2."""
    return float(torch.pdist(vectors.double()).mean())


def pixels(images: Tensor) -> Tensor:
    """Distances are root mean square differences of pixels, image space's 0 to 1."""
    return images.float().flatten(1) / images[0].numel() ** 0.5


def features(judge: FeatureNet) -> Space:
    """Distances are between the judge's penultimate features."""
    return lambda images: features_of(judge, images)


def perceptual(net: FeatureNet, layers: Sequence[str]) -> Space:
    """Distances are those of Zhang et al. 2018 (LPIPS) without learned weights, and their root: at each position of
    each map the channels scaled to length 1, squared differences averaged over positions and summed over layers."""

    @torch.no_grad()
    @full_precision
    def vectors(images: Tensor) -> Tensor:
        maps = net(images.to(net.device), list(layers))
        return torch.cat([_unit_channels(maps[layer]).cpu() for layer in layers], 1)

    return vectors


def _unit_channels(activations: Tensor) -> Tensor:
    channels = activations.float().movedim(-1, 1) if activations.ndim == 3 else activations.float()
    scaled = channels / (channels.square().sum(1, keepdim=True).sqrt() + 1e-10)
    return scaled.flatten(1) / channels[0, 0].numel() ** 0.5
