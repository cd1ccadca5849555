"""start=real: every search begins near real images that excite its unit."""

from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor

from dgn.am.evaluation import activations_of
from dgn.am.objectives import Objective
from dgn.am.setting import Starts
from dgn.errors import UserError
from dgn.metrics.scorer import class_of
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.tasks.reference import Reference

AVERAGED = 15
"""Real images that a start is the mean of, as multifaceted feature visualization has it (Nguyen et al. 2016)."""
_LEAST = 50
"""Real images of a unit that is no class: a tenth of all, and at least so many, those that excite it most."""
_MEMORY = 2**29  # bytes of codes that are looked through; of larger codes fewer images are


def start_of(config: DictConfig, method: DictConfig, prior: Prior | None, reference: Reference | None) -> str:
    """Where a method's searches start: config.start; where that is auto, where the method's own file says, as far as
    real images, and the prior's encoder, are at hand. Raises UserError for start=real without real images."""
    asked = config.start != "auto"
    start = config.start if asked else method.get("start", "noise")
    if start != "real":
        return start
    if reference is None:
        if asked:
            raise UserError(
                "start=real needs real images, and none are known here: name some with data=image_folder "
                "data.root=FOLDER (or data=doodles), and leave reference_images above 0"
            )
        return "noise"
    if prior is not None and not asked:
        try:
            prior.encoder_net()
        except UserError:
            return "noise"
    return start


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
    vectors = _vectors(target, prior, reference)
    for objective, own in own_images(target, objectives, reference, first=len(vectors), fewest=1).items():
        places = torch.tensor(own)
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))
        codes = vectors[places].flatten(1)
        alike = []
        for seed in seeds:
            away = torch.cdist(codes[order[seed % len(order)]][None], codes)[0]
            alike.append(places[away.argsort(stable=True)[:AVERAGED]])
        if prior is not None:
            found[objective] = torch.stack([vectors[some].mean(0) for some in alike])
        else:
            images = reference.pick(place for some in alike for place in some.tolist())
            found[objective] = torch.stack([torch.stack([images[p] for p in some.tolist()]).mean(0) for some in alike])
    return Starts({}, found, list(seeds)) if prior is not None else Starts(found, {}, list(seeds))


def own_images(
    target: FeatureNet,
    objectives: Sequence[Objective],
    reference: Reference,
    first: int | None = None,
    fewest: int = 0,
) -> dict[Objective, list[int]]:
    """Places of a class's images, among the first so many; of any other objective, and of classes with fewer images
    than `fewest`, those that excite it most."""
    labels = torch.cat([labels for _, labels in reference()])[:first]
    found: dict[Objective, list[int]] = {}
    others = []
    for objective in dict.fromkeys(objectives):
        label = class_of(objective, reference.classes)
        found[objective] = [] if label is None else torch.nonzero(labels == label).flatten().tolist()
        if label is None or len(found[objective]) < fewest:
            others.append(objective)
    if others:
        values = activations_of(target, others, reference.images())[:first]
        count = min(len(values), max(_LEAST, len(values) // 10))
        for objective, column in zip(others, values.T, strict=True):
            found[objective] = column.topk(count).indices.sort().values.tolist()
    return found


def _vectors(target: FeatureNet, prior: Prior | None, reference: Reference) -> Tensor:
    """Of the first real images, as many as fit: their codes of the prior, else of the target, (N, ...)."""
    found: list[Tensor] = []
    device = next(target.parameters()).device
    layer = target.code_layer()
    for images in reference.images():
        codes = prior.encode(images.to(prior.device)) if prior else target(images.to(device), [layer])[layer]
        found.append(codes.float().cpu())
        if sum(part.numel() for part in found) * 4 > _MEMORY:
            break
    return torch.cat(found)
