"""start=real: each search starts near real images that excite its unit."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.am.starts import Starts
from dgn.data.reference import Reference
from dgn.metrics.recognition import plain_label
from dgn.metrics.scorer import class_index
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior

log = logging.getLogger(__name__)

AVERAGED = 15
"""Real images averaged for a start, as in multifaceted feature visualization (Nguyen et al. 2016): at most these, and
at most a third of the unit's images, so that seeds average different ones."""
OF_CLASS = 128
"""Images of a class that its starts are made of, at most."""
_LEAST = 50
"""Smallest number of real images of a unit that is not a class; otherwise a tenth of all, with the highest values."""
_MEMORY = 2**29  # bytes of codes, and of mean images, that are held at once


def start_images(
    target: FeatureNet, objectives: Sequence[Objective], reference: Reference
) -> dict[Objective, list[int]]:
    """Returns the places of the real images that each objective's searches start near.

    For a class unit they are up to 128 images of its class, from the whole training set (`Reference.of_classes`). For
    any other objective they are those of the reference with the highest values.

    An objective is left out if it is a class unit and the training set has no image of its class; a warning names
    these. It is one if the target's label is not among the images' classes, while other labels of the target are.
    """
    classes = {o: class_index(o, reference.classes) for o in dict.fromkeys(objectives)}
    known = reference.of_classes(label for label in classes.values() if label is not None)
    places = {o: known[label][:OF_CLASS] for o, label in classes.items() if label is not None}
    shared = {plain_label(name) for name in reference.classes} & {plain_label(name) for name in target.labels}
    absent = [
        o for o, label in classes.items() if label is None and shared and class_index(o, target.labels) is not None
    ]
    absent += [o for o, own in places.items() if not own]
    if absent:
        names = ", ".join(o.label for o in absent[:8]) + (", ..." if len(absent) > 8 else "")
        log.warning("No real image of %d classes (%s): searches for them start from noise", len(absent), names)
    places |= _highest(target, [o for o in classes if o not in places and o not in absent], reference)
    return {o: places[o] for o in classes if places.get(o)}


def own_images(target: FeatureNet, objectives: Sequence[Objective], reference: Reference) -> dict[Objective, list[int]]:
    """Returns the places of each objective's images among the first ones of the stream, for facets.

    These are the images of the class; for objectives that are not a class, the images with the highest values.
    """
    classes = {o: class_index(o, reference.classes) for o in dict.fromkeys(objectives)}
    places = _highest(target, [o for o, label in classes.items() if label is None], reference)
    labels = reference.labels().tolist()
    places |= {
        o: [i for i, own in enumerate(labels) if own == label] for o, label in classes.items() if o not in places
    }
    return {o: places[o] for o in classes}


@torch.no_grad()
def near_real(
    target: FeatureNet,
    prior: Prior | None,
    places: Mapping[Objective, Sequence[int]],
    seeds: Sequence[int],
    reference: Reference,
) -> Starts:
    """Returns a start near real images for each objective and seed.

    With a prior, the start is the mean code of one of the objective's images and its nearest neighbours in the prior's
    code space. Without a prior, it is the mean image of neighbours in the target's codes. 15 images are averaged, or a
    third of the objective's, whichever is less. Which images depends only on the seed. Consecutive seeds start at
    images that were not averaged for the seeds before, until every image has been.

    Images are read for a few objectives at a time: 512 MiB of codes, and of mean images, are held beside the result.

    Args:
        target: the network whose units are maximized.
        prior: the prior whose codes are searched, if any.
        places: the places of each objective's images in the reference, at least one (`start_images`).
        seeds: the seeds.
        reference: the real images.
    """
    starts: dict[Objective, Tensor] = {}
    shape = tuple(prior.code_shape) if prior is not None else target.layer(target.code_layer()).shape
    room = max(1, _MEMORY // (4 * prod(shape)))
    places = {objective: list(own)[:room] for objective, own in places.items()}
    together = len(places) if prior is not None else _MEMORY // (4 * math.prod(reference.image_shape) * len(seeds))
    for objectives in _groups(places, room, max(1, together)):
        codes = _codes(target, prior, reference, {place for o in objectives for place in places[o]})
        averaged = {o: _averaged(torch.stack([codes[p] for p in places[o]]), seeds) for o in objectives}
        if prior is not None:
            for o, rows in averaged.items():
                starts[o] = torch.stack([torch.stack([codes[places[o][i]] for i in row]).mean(0) for row in rows])
        else:
            chosen = {o: [[places[o][i] for i in row] for row in rows] for o, rows in averaged.items()}
            starts |= _mean_images(reference, chosen)
    return Starts({}, starts, list(seeds)) if prior is not None else Starts(starts, {}, list(seeds))


def _highest(target: FeatureNet, objectives: Sequence[Objective], reference: Reference) -> dict[Objective, list[int]]:
    """Returns the places of the reference's images with the highest values of each objective: a tenth of all."""
    if not objectives:
        return {}
    values = objective_values(target, objectives, reference.images())
    count = min(len(values), max(_LEAST, len(values) // 10))
    best = values.topk(count, dim=0).indices.sort(dim=0).values
    return dict(zip(objectives, best.T.tolist(), strict=True))


def _averaged(codes: Tensor, seeds: Sequence[int]) -> list[list[int]]:
    """Returns the images averaged for each seed: an image, and its nearest neighbours among codes (N, ...)."""
    vectors = codes.flatten(1)
    away = torch.cdist(vectors, vectors).fill_diagonal_(-1)
    nearest = away.argsort(dim=1, stable=True)[:, : max(1, min(AVERAGED, len(codes) // 3))].tolist()
    first: list[int] = []
    later: list[int] = []
    covered: set[int] = set()
    for place in torch.randperm(len(codes), generator=torch.Generator().manual_seed(0)).tolist():
        (later if place in covered else first).append(place)
        if place not in covered:
            covered |= set(nearest[place])
    order = first + later
    return [nearest[order[seed % len(order)]] for seed in seeds]


def _groups(places: Mapping[Objective, Sequence[int]], room: int, most: int) -> Iterator[list[Objective]]:
    """Splits objectives into groups of at most `most` whose images, counted once, are at most `room`."""
    group: list[Objective] = []
    union: set[int] = set()
    for objective, own in places.items():
        if len(group) == most or (group and len(union | set(own)) > room):
            yield group
            group, union = [], set()
        group.append(objective)
        union |= set(own)
    if group:
        yield group


def _codes(target: FeatureNet, prior: Prior | None, reference: Reference, places: set[int]) -> dict[int, Tensor]:
    """Returns the codes, of the prior or else the target, of the images at the given places, on the CPU."""
    codes: dict[int, Tensor] = {}
    device = prior.device if prior is not None else target.device
    layer = target.code_layer()
    for part, images, _ in reference.read(sorted(places)):
        images = images.to(device)
        encoded = prior.encode(images) if prior is not None else target(images, [layer])[layer]
        codes |= dict(zip(part, encoded.float().cpu(), strict=True))
    return codes


def _mean_images(reference: Reference, chosen: Mapping[Objective, list[list[int]]]) -> dict[Objective, Tensor]:
    """Returns the mean of the images at each list of places, (lists, 3, H, W) for each objective.

    Each image is read once and added to the sums of all lists that name it.
    """
    uses: dict[int, list[tuple[Objective, int]]] = {}
    for objective, rows in chosen.items():
        for n, row in enumerate(rows):
            for place in row:
                uses.setdefault(place, []).append((objective, n))
    sums: dict[Objective, Tensor] = {}
    for part, images, _ in reference.read(sorted(uses)):
        for place, image in zip(part, images, strict=True):
            for objective, n in uses[place]:
                if objective not in sums:
                    sums[objective] = torch.zeros(len(chosen[objective]), *image.shape)
                sums[objective][n] += image / len(chosen[objective][n])
    return sums
