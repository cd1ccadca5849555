"""The notes of a unit: the real images that excite it most, and the regions that its activation depends on."""

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.terms import Position, Unit
from dgn.data.batches import BATCH
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.inspection.patches import deconvolved, unit_at
from dgn.metrics.occlusion import discrepancy, mask
from dgn.metrics.top_images import Place, TopImages, at_input, top_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.receptive.field import region
from dgn.report.contents import Box, RealImage, UnitNotes
from dgn.visualization.settings import NoteSettings

log = logging.getLogger(__name__)

_MOST_MASKED = 24
"""Largest number of units with masks for masks=auto: an image needs one forward pass for each patch."""
_MOST_DECONVOLVED = 100
"""Largest number of units with deconvolutions for deconvolutions=auto: an image needs one backward pass."""
_PATCHES = 9
"""Default number of patches per side; patches overlap by half. Needs a tenth of the published forward passes."""


def describe_units(
    settings: NoteSettings, target: FeatureNet, objectives: Sequence[Objective], reference: Reference
) -> dict[str, UnitNotes]:
    """Returns {objective: its top real images}.

    Args:
        settings: how many images there are for each unit, and which of them have masks.
        target: the network whose units are described.
        objectives: the objectives.
        reference: the real images.
    """
    if not settings.top_images:
        return {}
    ranked = _ranked(target, objectives, reference, settings.top_images)
    pool = reference.images_at(index for top in ranked.values() for index in top.indices.tolist())
    pool = {index: at_input(target, image[None])[0].half() for index, image in pool.items()}
    masks = _masks(settings, target, ranked, pool)
    deconvolutions = _deconvolutions(settings, target, ranked, pool)
    notes = {}
    for objective, top in ranked.items():
        shown = []
        for row, (index, value) in enumerate(zip(top.indices.tolist(), top.values.tolist(), strict=True)):
            box = _box(target, top.unit, top.places[row]) if top.unit else None
            caption = reference.label(index)
            mask, back = masks.get((str(objective), row)), deconvolutions.get((str(objective), row))
            shown.append(RealImage(pool[index], caption, value, box=box, mask=mask, deconvolution=back))
        notes[str(objective)] = UnitNotes(shown)
    return notes


def receptive_box(target: FeatureNet, objective: Objective, size: tuple[int, int]) -> Box | None:
    """Returns the receptive field of a feature map's unit in an image of size (height, width).

    Returns None if it covers the image, and for objectives that are not a single unit.
    """
    unit = single_unit(objective)
    if unit is None or unit.position is None or unit.position == "mean":
        return None
    top, left, bottom, right = target.input_space.visible_part(region(target, unit.layer, unit.position), size)
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
    ranked: dict[Objective, TopImages] = {}
    if units:
        ranked |= zip(units, top_images(target, list(units.values()), reference.images(), k), strict=True)
    others = [o for o in objectives if o not in units]
    if others:
        values = objective_values(target, others, reference.images())
        best = values.topk(min(k, len(values)), dim=0)
        for column, objective in enumerate(others):
            places: list[Place] = [()] * len(best.values)
            ranked[objective] = TopImages(None, best.values[:, column], best.indices[:, column], places)
    return {o: ranked[o] for o in objectives}


def _masks(
    settings: NoteSettings, target: FeatureNet, ranked: Mapping[Objective, TopImages], pool: Mapping[int, Tensor]
) -> dict[tuple[str, int], Tensor]:
    """Returns {(objective, row): mask (H, W) of what its activation depends on in the top image}, if enabled."""
    units = {objective: top.unit for objective, top in ranked.items() if top.unit is not None}
    if settings.masks == "auto":
        classes = target.class_layer() if target.labels else None
        units = {o: unit for o, unit in units.items() if target.layer(unit.layer).name != classes}
        units = units if len(units) <= _MOST_MASKED else {}
    if not settings.masks or not units:
        return {}
    masked = [(o, row) for o in units for row, value in enumerate(ranked[o].values.tolist()) if value > 0]
    if not masked:
        return {}
    masked_units = [units[o] for o, _ in masked]
    places = [ranked[o].places[row] for o, row in masked]
    images = torch.stack([pool[int(ranked[o].indices[row])].float() for o, row in masked])
    patch = settings.patch or max(1, round(min(images.shape[-2:]) / _PATCHES))
    drops = discrepancy(
        target,
        images,
        masked_units,
        places,
        [region(target, unit.layer, place or None) for unit, place in zip(masked_units, places, strict=True)],
        patch,
        settings.stride or max(1, patch // 2),
    )
    return {(str(o), row): mask(drop).half() for (o, row), drop in zip(masked, drops, strict=True)}


def _deconvolutions(
    settings: NoteSettings, target: FeatureNet, ranked: Mapping[Objective, TopImages], pool: Mapping[int, Tensor]
) -> dict[tuple[str, int], Tensor]:
    """Returns {(objective, row): deconvolution (3, H, W) of its unit in the top image}, if enabled and possible."""
    units = {objective: top.unit for objective, top in ranked.items() if top.unit is not None}
    wanted = len(units) <= _MOST_DECONVOLVED if settings.deconvolutions == "auto" else settings.deconvolutions
    if not wanted or not target.has_gradient:
        return {}
    by_layer: dict[str, list[tuple[Objective, int]]] = {}
    for objective, unit in units.items():
        rows = [(objective, row) for row, value in enumerate(ranked[objective].values.tolist()) if value > 0]
        by_layer.setdefault(unit.layer, []).extend(rows)
    found: dict[tuple[str, int], Tensor] = {}
    for jobs in by_layer.values():
        for first in range(0, len(jobs), BATCH):
            part = jobs[first : first + BATCH]
            images = torch.stack([pool[int(ranked[o].indices[row])].float() for o, row in part]).to(target.device)
            placed = [unit_at(units[o], ranked[o].places[row]) for o, row in part]
            try:
                back = deconvolved(target, placed, images).cpu()
            except UserError as error:
                log.info("Top images are shown without deconvolutions: %s", error)
                return found
            found |= {(str(o), row): own for (o, row), own in zip(part, back, strict=True)}
    return found


def _box(target: FeatureNet, unit: Unit, place: Position) -> Box | None:
    if not place:
        return None
    top, left, bottom, right = region(target, unit.layer, place)
    return left, top, right, bottom
