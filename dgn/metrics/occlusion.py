"""Occlusion-discrepancy maps (Zhou et al. 2015, "Object detectors emerge in deep scene CNNs", section 3.2).

They show which part of an image excites a unit, and the unit's empirical receptive field. A small patch slides over
the image; where it lowers the unit's activation, it hides something that the unit responds to.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.terms import Unit
from dgn.data.batches import BATCH
from dgn.data.images import as_images
from dgn.devices import moved
from dgn.errors import UserError
from dgn.metrics.top_images import Place
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.runs.progress import announced

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels; bottom and right are exclusive."""

PATCH, STRIDE, SIDE = 11, 3, 227
"""Zhou et al.: patches of 11x11 pixels every 3 pixels, on images of 227x227."""


def patch_and_stride(side: int) -> tuple[int, int]:
    """Returns the published patch and stride scaled to images of `side` pixels: 11 and 3 for 227, 3 and 1 for 64."""
    return max(1, round(PATCH * side / SIDE)), max(1, round(STRIDE * side / SIDE))


@torch.no_grad()
@full_precision
def discrepancy(
    net: FeatureNet,
    images: Any,
    units: Sequence[Unit],
    places: Sequence[Place],
    regions: Sequence[Box] | None = None,
    patch: int | None = None,
    stride: int | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
) -> Tensor:
    """Returns the drop of a unit's activation at every pixel, averaged over the patches that hide it, (N, H, W).

    Patches hold random pixels, the same for every image. At the far edges a last patch covers what the stride leaves.

    Args:
        net: the network.
        images: (N, 3, H, W) at the network's input (`top_images.at_input`), or anything that `as_images` accepts.
        units: the unit to measure in each image.
        places: the position of each unit in its map.
        regions: the receptive fields; patches outside them change nothing and are skipped.
        patch: the patch's side in pixels; None: the published one, scaled.
        stride: the stride in pixels; None: the published one, scaled.
        batch_size: the number of occluded images in a batch.
        seed: seeds the pixels of the patches.

    Raises:
        UserError: for a patch larger than the image or a stride larger than the patch.
    """
    images = as_images(images)
    height, width = images.shape[-2:]
    patch, stride = _checked(height, width, patch, stride)
    corners = [(y, x) for y in starts(height, patch, stride) for x in starts(width, patch, stride)]
    noise = torch.rand((len(corners), images.shape[1], patch, patch), generator=torch.Generator().manual_seed(seed))
    jobs = [
        (n, i)
        for n, (top, left, bottom, right) in enumerate(regions or [(0, 0, height, width)] * len(images))
        for i, (y, x) in enumerate(corners)
        if y < bottom and y + patch > top and x < right and x + patch > left
    ]
    drops = _drops(net, moved(images, net.device), units, places, noise, corners, jobs, batch_size)
    total, count = torch.zeros(len(images), height, width), torch.zeros(height, width)
    for (n, i), drop in zip(jobs, drops, strict=True):
        y, x = corners[i]
        total[n, y : y + patch, x : x + patch] += drop
    # Skipped patches count too, with a drop of 0.
    for y, x in corners:
        count[y : y + patch, x : x + patch] += 1
    return total / count


def mask(drops: Tensor, threshold: float = 0.2) -> Tensor:
    """Returns where the unit's activation depends on the image, bool of the shape of drops (..., H, W).

    These are the pixels where the drop is at least `threshold` times the map's maximum. False everywhere if no drop
    is positive.
    """
    greatest = drops.amax((-2, -1), keepdim=True)
    return (drops >= threshold * greatest) & (greatest > 0)


def receptive_field(drops: Tensor, centres: Sequence[tuple[float, float]]) -> Tensor:
    """Returns a unit's empirical receptive field, (2 H - 1, 2 W - 1): the average of its maps, centred.

    Each pixel is averaged over the maps that cover it.

    Args:
        drops: (N, H, W), the maps.
        centres: the centre (row, column) of each map, in pixels.
    """
    height, width = drops.shape[1:]
    total, count = torch.zeros(2, 2 * height - 1, 2 * width - 1)
    for drop, (row, column) in zip(drops.cpu(), centres, strict=True):
        # pixel (r, c) covers r to r + 1: a centre of 0.5 is in the middle of pixel 0
        top = height - 1 - min(max(int(row), 0), height - 1)
        left = width - 1 - min(max(int(column), 0), width - 1)
        total[top : top + height, left : left + width] += drop
        count[top : top + height, left : left + width] += 1
    return total / count.clamp(min=1)


def extent(field: Tensor, threshold: float = 0.2) -> float:
    """Returns the size of a receptive field (H, W): the side in pixels of a square of the same area.

    The area is that of the pixels above `threshold` times the maximum.
    """
    return float(mask(field, threshold).sum()) ** 0.5


def starts(side: int, patch: int, stride: int) -> list[int]:
    """Returns the first pixels of patches that cover a side: every `stride` pixels, and a last one at the far edge."""
    starts = list(range(0, side - patch + 1, stride))
    return starts if starts[-1] == side - patch else [*starts, side - patch]


def _checked(height: int, width: int, patch: int | None, stride: int | None) -> tuple[int, int]:
    """Returns the patch and the stride, by default the published ones scaled to images of this size."""
    default = patch_and_stride(min(height, width))
    patch, stride = patch or default[0], stride or default[1]
    if not 1 <= stride <= patch <= min(height, width):
        raise UserError(
            f"occlusion by patches of {patch} pixels every {stride}, on images of {height}x{width}: "
            "the stride must be at least 1 and at most the patch, and the patch at most the image"
        )
    return patch, stride


def _drops(
    net: FeatureNet,
    images: Tensor,
    units: Sequence[Unit],
    places: Sequence[Place],
    noise: Tensor,
    corners: Sequence[tuple[int, int]],
    jobs: Sequence[tuple[int, int]],
    batch_size: int,
) -> list[float]:
    """Returns how much a patch of noise lowers an image's unit, for each job (image, corner)."""
    noise, patch = moved(noise.to(images.dtype), images.device), noise.shape[-1]
    whole = torch.cat(
        [
            _watch(net, part, units[first : first + batch_size], places[first : first + batch_size])
            for first, part in zip(range(0, len(images), batch_size), images.split(batch_size), strict=True)
        ]
    )
    drops: list[float] = []
    parts = announced(
        (jobs[first : first + batch_size] for first in range(0, len(jobs), batch_size)),
        len(jobs),
        "Occluding patches of images, for the masks of top images and the column causal",
        "masks=false and predictive.causal=false leave them out; larger patches with occlusion.patch and .stride",
        batch_size,
    )
    for part in parts:
        rows = [n for n, _ in part]
        occluded = images[rows].clone()
        for row, (_, i) in enumerate(part):
            y, x = corners[i]
            occluded[row, :, y : y + patch, x : x + patch] = noise[i]
        left = _watch(net, occluded, [units[n] for n in rows], [places[n] for n in rows])
        drops += (whole[rows] - left).tolist()
    return drops


def _watch(net: FeatureNet, images: Tensor, units: Sequence[Unit], places: Sequence[Place]) -> Tensor:
    """Returns the activation of each image's unit at its place, (N,) float32 on the CPU: one gather per layer."""
    by_layer = net(images, list(dict.fromkeys(unit.layer for unit in units)))
    values = torch.empty(len(images))
    for layer, activations in by_layer.items():
        rows = [row for row, unit in enumerate(units) if unit.layer == layer]
        channels_first = activations.movedim(-1, 1) if activations.ndim == 3 else activations
        index = zip(*((row, units[row].index, *places[row]) for row in rows), strict=True)
        at = tuple(torch.tensor(axis, device=activations.device) for axis in index)
        values[rows] = channels_first[at].float().cpu()
    return values
