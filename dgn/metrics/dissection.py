"""Network dissection: units named by the overlap of their activation with known parts (Bau et al. 2017)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.devices import moved
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

QUANTILE = 0.05
"""A unit is on where its activation is among its highest 5%. (The paper: 0.5%, of far larger maps.)"""
NAMED = 0.04
"""The overlap from which a unit counts as a detector, the paper's."""


@torch.no_grad()
@full_precision
def part_overlap(
    net: FeatureNet, layer: str, units: list[int], samples: Iterable[tuple[Tensor, Tensor, Tensor]], concepts: int
) -> Tensor:
    """Returns the intersection over union of every unit with every concept, (units, concepts).

    Args:
        net: the network.
        layer: a layer whose activations are maps.
        units: channels of it.
        samples: batches (images (n, 3, H, W), masks bool (n, parts, h, w), concepts (n, parts)): the masks of each
            image's parts, and which concept each is.
        concepts: how many concepts there are.
    """
    held = [(net(moved(images, net.device), [layer])[layer][:, units].float().cpu(), m, c) for images, m, c in samples]
    values = torch.cat([maps.movedim(1, 0).flatten(1) for maps, _, _ in held], 1)
    rank = max(1, round(QUANTILE * values.shape[1]))
    thresholds = values.topk(rank, dim=1).values[:, -1]
    shared, of_concept, on = (torch.zeros(shape) for shape in ((len(units), concepts), (concepts,), (len(units),)))
    for maps, masks, numbers in held:
        large = F.interpolate(maps, masks.shape[-2:], mode="bilinear", align_corners=False)
        active = (large > thresholds[:, None, None]).float().flatten(2)  # (n, units, pixels)
        parts = masks.float().flatten(2)
        on += active.sum((0, 2))
        shared.index_add_(1, numbers.flatten(), torch.einsum("nup,nkp->unk", active, parts).flatten(1))
        of_concept.index_add_(0, numbers.flatten(), parts.sum(2).flatten())
    return shared / (on[:, None] + of_concept - shared).clamp(min=1)
