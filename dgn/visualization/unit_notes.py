"""The notes of a unit: the real images that excite it most, and the regions that its activation depends on."""

from collections.abc import Mapping, Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import activations_of
from dgn.am.objectives.terms import Position, Unit
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.metrics.occlusion import discrepancy, mask
from dgn.metrics.top_images import Place, TopImages, at_input, top_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.receptive.field import region
from dgn.report.contents import Box, RealImage, UnitNotes

_MOST_MASKED = 24
"""Largest number of units with masks for masks=auto: an image needs one forward pass for each patch."""
_PATCHES = 9
"""Default number of patches per side; patches overlap by half. Needs a tenth of the published forward passes."""


def notes_of(
    config: DictConfig, target: FeatureNet, objectives: Sequence[Objective], reference: Reference
) -> dict[str, UnitNotes]:
    """Returns {objective: its top real images}, according to config.top_images, config.masks and config.occlusion."""
    if config.top_images < 0:
        raise UserError(f"top_images={config.top_images}: give a number of real images for each unit, 0 for none")
    if not config.top_images:
        return {}
    ranked = _ranked(target, objectives, reference, config.top_images)
    pool = reference.pick(place for found in ranked.values() for place in found.indices.tolist())
    pool = {place: at_input(target, image[None])[0].half() for place, image in pool.items()}
    masks = _masks(config, target, ranked, pool)
    notes = {}
    for objective, found in ranked.items():
        shown = []
        for row, (place, value) in enumerate(zip(found.indices.tolist(), found.values.tolist(), strict=True)):
            box = _box(target, found.unit, found.places[row]) if found.unit else None
            caption = reference.label(place)
            shown.append(RealImage(pool[place], caption, value, box=box, mask=masks.get((str(objective), row))))
        notes[str(objective)] = UnitNotes(shown)
    return notes


def field_of(target: FeatureNet, objective: Objective, size: tuple[int, int]) -> Box | None:
    """Returns the receptive field of a feature map's unit in an image of size (height, width).

    Returns None if it covers the image, and for objectives that are not a single unit.
    """
    unit = single_unit(objective)
    if unit is None or unit.position is None or unit.position == "mean":
        return None
    top, left, bottom, right = target.input_space.part_of(region(target, unit.layer, unit.position), size)
    box = round(left), round(top), round(right), round(bottom)
    return None if box[0] <= 0 and box[1] <= 0 and box[2] >= size[1] and box[3] >= size[0] else box


def single_unit(objective: Objective) -> Unit | None:
    """Returns the unit of an objective that consists of one unit of positive weight, else None."""
    ((weight, term), *more) = objective.terms
    return term if not more and weight > 0 and isinstance(term, Unit) else None


def _ranked(
    target: FeatureNet, objectives: Sequence[Objective], reference: Reference, k: int
) -> dict[Objective, TopImages]:
    """Ranks images for units by their maximum over positions, and for other objectives by their values."""
    units = {o: unit for o in objectives if (unit := single_unit(o)) is not None}
    found = (
        dict(zip(units, top_images(target, list(units.values()), reference.images(), k), strict=True)) if units else {}
    )
    others = [o for o in objectives if o not in units]
    if others:
        values = activations_of(target, others, reference.images())
        best = values.topk(min(k, len(values)), dim=0)
        for column, objective in enumerate(others):
            places: list[Place] = [()] * len(best.values)
            found[objective] = TopImages(None, best.values[:, column], best.indices[:, column], places)
    return {o: found[o] for o in objectives}


def _masks(
    config: DictConfig, target: FeatureNet, ranked: Mapping[Objective, TopImages], pool: Mapping[int, Tensor]
) -> dict[tuple[str, int], Tensor]:
    """Returns {(objective, row): mask (H, W) of what its activation depends on in the top image}, if enabled."""
    classes = target.class_layer() if target.labels else None
    wanted = {o: (f.unit, f) for o, f in ranked.items() if f.unit is not None}
    if config.masks == "auto":
        wanted = {o: (unit, f) for o, (unit, f) in wanted.items() if target.layer(unit.layer).name != classes}
        wanted = wanted if len(wanted) <= _MOST_MASKED else {}
    elif config.masks not in (True, False):
        raise UserError(f"masks={config.masks}: give auto, true or false")
    if not config.masks or not wanted:
        return {}
    rows = [
        (o, unit, f, row)
        for o, (unit, f) in wanted.items()
        for row in range(len(f.indices))
        if float(f.values[row]) > 0
    ]
    if not rows:
        return {}
    images = torch.stack([pool[int(f.indices[row])].float() for _, _, f, row in rows])
    patch = config.occlusion.patch or max(1, round(min(images.shape[-2:]) / _PATCHES))
    drops = discrepancy(
        target,
        images,
        [unit for _, unit, _, _ in rows],
        [f.places[row] for _, _, f, row in rows],
        [region(target, unit.layer, f.places[row] or None) for _, unit, f, row in rows],
        patch,
        config.occlusion.stride or max(1, patch // 2),
    )
    return {(str(o), row): mask(drop).half() for (o, _, _, row), drop in zip(rows, drops, strict=True)}


def _box(target: FeatureNet, unit: Unit, place: Position) -> Box | None:
    if not place:
        return None
    top, left, bottom, right = region(target, unit.layer, place)
    return left, top, right, bottom
