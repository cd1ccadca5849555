"""start=real: each search starts near real images that excite its unit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import activations_of
from dgn.am.starts import Starts
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.metrics.scorer import class_of
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior

AVERAGED = 15
"""Real images averaged for a start, as in multifaceted feature visualization (Nguyen et al. 2016)."""
_LEAST = 50
"""Smallest number of real images of a unit that is not a class; otherwise a tenth of all, with the highest values."""
_MEMORY = 2**29  # bytes of codes that are kept; for larger codes, fewer images are used


@torch.no_grad()
def near_real(
    target: FeatureNet,
    prior: Prior | None,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    reference: Reference,
) -> Starts:
    """Returns a start near real images for each objective and seed.

    With a prior, the start is the mean code of one of the unit's real images and its nearest neighbours in the prior's
    code space, 15 images in total. Without a prior, it is the mean image of 15 neighbours in the target's codes. The
    first image depends only on the seed.

    Raises:
        UserError: if no codes of an objective's images fit in memory.
    """
    starts: dict[Objective, Tensor] = {}
    own = own_images(target, objectives, reference, fewest=1)
    vectors = _vectors(target, prior, reference, {place for places in own.values() for place in places})
    for objective, places in own.items():
        places = [place for place in places if place in vectors]
        if not places:
            raise UserError(f"start=real: no room for codes of {objective.label}'s images; give start=noise")
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0)).tolist()
        codes = torch.stack([vectors[place] for place in places])
        neighbours = []
        for seed in seeds:
            away = torch.cdist(codes[order[seed % len(order)]].flatten()[None], codes.flatten(1))[0]
            neighbours.append(away.argsort(stable=True)[:AVERAGED].tolist())
        if prior is not None:
            starts[objective] = torch.stack([codes[rows].mean(0) for rows in neighbours])
        else:
            images = reference.images_at(places[i] for rows in neighbours for i in rows)
            means = [torch.stack([images[places[i]] for i in rows]).mean(0) for rows in neighbours]
            starts[objective] = torch.stack(means)
    return Starts({}, starts, list(seeds)) if prior is not None else Starts(starts, {}, list(seeds))


def own_images(
    target: FeatureNet,
    objectives: Sequence[Objective],
    reference: Reference,
    fewest: int = 0,
) -> dict[Objective, list[int]]:
    """Returns the indices of each objective's real images in the reference.

    These are the images of the class. For objectives that are not a class, and for classes with fewer than `fewest`
    images, they are the images with the highest values.
    """
    labels = torch.cat([labels for _, labels in reference()])
    found: dict[Objective, list[int]] = {}
    others = []
    for objective in dict.fromkeys(objectives):
        label = class_of(objective, reference.classes)
        found[objective] = [] if label is None else torch.nonzero(labels == label).flatten().tolist()
        if label is None or len(found[objective]) < fewest:
            others.append(objective)
    if others:
        values = activations_of(target, others, reference.images())
        count = min(len(values), max(_LEAST, len(values) // 10))
        for objective, column in zip(others, values.T, strict=True):
            found[objective] = column.topk(count).indices.sort().values.tolist()
    return found


def _vectors(target: FeatureNet, prior: Prior | None, reference: Reference, wanted: set[int]) -> dict[int, Tensor]:
    """Returns the codes, of the prior or else the target, of the wanted images, as many as fit in memory."""
    found: dict[int, Tensor] = {}
    device = prior.device if prior is not None else target.device
    layer, start, used = target.code_layer(), 0, 0
    for images in reference.images():
        rows = [i for i in range(len(images)) if start + i in wanted]
        if rows:
            selected = images[rows].to(device)
            codes = (prior.encode(selected) if prior is not None else target(selected, [layer])[layer]).float().cpu()
            found |= {start + i: code for i, code in zip(rows, codes, strict=True)}
            used += codes.numel() * codes.element_size()
        start += len(images)
        if used > _MEMORY:
            break
    return found
