"""start=real: every search begins near real images that excite its unit."""

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
"""Real images that a start is the mean of, as multifaceted feature visualization has it (Nguyen et al. 2016)."""
_LEAST = 50
"""Real images of a unit that is no class: a tenth of all, and at least so many, those that excite it most."""
_MEMORY = 2**29  # bytes of codes that are looked through; of larger codes fewer images are


@torch.no_grad()
def near_real(
    target: FeatureNet,
    prior: Prior | None,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    reference: Reference,
) -> Starts:
    """For each objective and seed the mean code, in the prior's space, of one of the unit's real images and those most
    like it, 15 in all; for methods without codes the mean image of 15 that are alike to the target. Which image is the
    seed's alone to say."""
    found: dict[Objective, Tensor] = {}
    own = own_images(target, objectives, reference, fewest=1)
    vectors = _vectors(target, prior, reference, {place for places in own.values() for place in places})
    for objective, places in own.items():
        places = [place for place in places if place in vectors]
        if not places:
            raise UserError(f"start=real: no room for codes of {objective.label}'s images; give start=noise")
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0)).tolist()
        codes = torch.stack([vectors[place] for place in places])
        alike = []
        for seed in seeds:
            away = torch.cdist(codes[order[seed % len(order)]].flatten()[None], codes.flatten(1))[0]
            alike.append(away.argsort(stable=True)[:AVERAGED].tolist())
        if prior is not None:
            found[objective] = torch.stack([codes[some].mean(0) for some in alike])
        else:
            images = reference.pick(places[i] for some in alike for i in some)
            found[objective] = torch.stack([torch.stack([images[places[i]] for i in some]).mean(0) for some in alike])
    return Starts({}, found, list(seeds)) if prior is not None else Starts(found, {}, list(seeds))


def own_images(
    target: FeatureNet,
    objectives: Sequence[Objective],
    reference: Reference,
    fewest: int = 0,
) -> dict[Objective, list[int]]:
    """Places of a class's images; of any other objective, and of classes with fewer images than `fewest`, of those that
    excite it most."""
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
    """Of the real images at these places, as far as they fit: their codes of the prior, else of the target."""
    found: dict[int, Tensor] = {}
    device = prior.device if prior is not None else target.device
    layer, start, used = target.code_layer(), 0, 0
    for images in reference.images():
        rows = [i for i in range(len(images)) if start + i in wanted]
        if rows:
            some = images[rows].to(device)
            codes = (prior.encode(some) if prior is not None else target(some, [layer])[layer]).float().cpu()
            found |= {start + i: code for i, code in zip(rows, codes, strict=True)}
            used += codes.numel() * codes.element_size()
        start += len(images)
        if used > _MEMORY:
            break
    return found
