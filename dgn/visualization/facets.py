"""facets=k: clusters a unit's images; each cluster starts a search (Nguyen, Yosinski & Clune 2016)."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.am.facets import Facets, agreement, find_facets
from dgn.am.objectives.algebra import Objective
from dgn.am.setting import resized
from dgn.am.starts import Starts
from dgn.data.doodles import CLASSES
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.metrics.facet_recognition import doodle_facet_judges, facet_coverage
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.contents import RealImage, UnitNotes
from dgn.runs.progress import announced
from dgn.visualization.settings import FacetSettings
from dgn.visualization.starts import own_images

log = logging.getLogger(__name__)

_SHOWN = 5


@dataclass(frozen=True)
class UnitFacets:
    """The facets of one unit.

    Args:
        indices: of the unit's images in the reference, or among the samples.
        images: (N, 3, H, W), these images.
        clustering: their facets.
        codes: (N, *code_shape), the codes of which the images were decoded, if they are samples of a prior.
        prior: the prior that drew the samples; None: the images are real.
    """

    indices: list[int]
    images: Tensor
    clustering: Facets
    codes: Tensor | None = None
    prior: Prior | None = None

    def name(self, seed: int) -> str:
        """Returns the name of a search's facet: seed s starts in facet s modulo the number of facets."""
        return f"facet {seed % len(self.clustering.facets) + 1}"


def find_unit_facets(
    settings: FacetSettings, target: FeatureNet, objectives: Sequence[Objective], reference: Reference | None
) -> dict[Objective, UnitFacets]:
    """Returns the facets of every objective's real images.

    Args:
        settings: how many facets a unit has, and the layer in whose codes they are found.
        target: the network whose units are visualized.
        objectives: the objectives.
        reference: the real images, if any are known.

    Raises:
        UserError: without real images, or if a unit has too few images.
    """
    if reference is None:
        raise UserError(
            f"facets={settings.count} are found among real images, and none are known here: name some with "
            "data=image_folder data.root=FOLDER (or data=doodles), and leave reference_images above 0"
        )
    layer = settings.layer or target.code_layer()
    target.layer(layer)
    chosen = own_images(target, objectives, reference)
    pool = reference.images_at(index for indices in chosen.values() for index in indices)
    unit_facets = {}
    clustered = announced(
        chosen.items(), len(chosen), "Clustering each unit's real images, for facets", "fewer with reference_images=N"
    )
    for objective, indices in clustered:
        images, codes = torch.empty(0, reference.image_shape[0], 1, 1), torch.empty(0, 1)
        if indices:
            images = torch.stack([pool[index] for index in indices])
            codes = codes_in(target, images, layer)
        try:
            unit_facets[objective] = UnitFacets(indices, images, find_facets(codes, settings.count, settings.seed))
        except UserError as error:
            raise UserError(f"{objective.label}: {error}; raise reference_images (now {reference.count})") from None
    return unit_facets


def starts_in_facets(facets: Mapping[Objective, UnitFacets], prior: Prior | None) -> Starts:
    """Returns the start of each facet's search: the mean of its 15 most typical images, or of their codes.

    Samples need no encoder for the prior that drew them, as their codes are known.
    """
    images = {o: f.clustering.starts(f.images) for o, f in facets.items()}
    if prior is None:
        return Starts(images, {})
    codes = {}
    for objective, unit in facets.items():
        if unit.codes is not None and unit.prior is prior:
            codes[objective] = unit.clustering.starts(unit.codes)
            continue
        nearest = sorted({n for facet in unit.clustering.facets for n in facet.nearest()})
        encoded = dict(zip(nearest, prior.encode(unit.images[nearest].to(prior.device)).cpu(), strict=True))
        means = [torch.stack([encoded[n] for n in facet.nearest()]).float().mean(0) for facet in unit.clustering.facets]
        codes[objective] = torch.stack(means)
    return Starts(images, codes)


def add_facets(
    notes: Mapping[str, UnitNotes], facets: Mapping[Objective, UnitFacets], reference: Reference | None
) -> dict[str, UnitNotes]:
    """Returns the units' notes with the most typical images of each facet."""
    with_facets = dict(notes)
    for objective, unit in facets.items():
        shown = {}
        for i, facet in enumerate(unit.clustering.facets):
            shown[f"facet {i + 1}"] = [
                RealImage(unit.images[n], _caption(unit, n, reference)) for n in facet.nearest(_SHOWN)
            ]
        own = with_facets.get(str(objective), UnitNotes())
        kind = "real images" if unit.prior is None else "samples"
        with_facets[str(objective)] = replace(own, facets=shown, facets_of=kind)
    return with_facets


def write_facets(
    folder: Path,
    facets: Mapping[Objective, UnitFacets],
    reference: Reference | None,
    judge: FeatureNet | None,
    made: Mapping[str, tuple[Tensor, Sequence[Objective]]],
) -> None:
    """Writes facets.json with the facets of each unit and their shares.

    If the true facets are known (doodles), it also contains the adjusted Rand index of real images, and for each method
    the facets that have a preferred image recognized as such.

    Args:
        folder: where the file is written.
        facets: of each objective.
        reference: the real images, if any are known.
        judge: the network that recognizes facets, if there is one.
        made: {method's title: (images, their objectives)}.
    """
    report: dict[str, Any] = {"units": {}}
    indices: list[float] = []
    for objective, unit in facets.items():
        true = reference.facets(unit.indices) if reference is not None and unit.prior is None else None
        entry: dict[str, Any] = {
            "of": "real images" if unit.prior is None else f"samples of {unit.prior.source}",
            "images": len(unit.indices),
            "shares": [round(facet.share, 4) for facet in unit.clustering.facets],
        }
        if true is not None:
            entry["adjusted_rand_index"] = round(agreement(unit.clustering.labels, true), 4)
            indices.append(entry["adjusted_rand_index"])
        report["units"][str(objective)] = {"label": objective.label} | entry
    if indices:
        report["adjusted_rand_index"] = round(float(np.mean(indices)), 4)
        log.info("Facets match the true kinds with an adjusted Rand index of %.2f on average", np.mean(indices))
    known = reference is not None and reference.facets([0]) is not None and set(reference.classes) <= set(CLASSES)
    if known and judge is not None:
        report["shown"] = _shown(judge, facets, made)
    write_whole(folder / "facets.json", json.dumps(report, indent=1) + "\n")


def _caption(unit: UnitFacets, n: int, reference: Reference | None) -> str:
    if unit.prior is not None:
        return f"sample {unit.indices[n]}"
    return reference.label(unit.indices[n]) if reference is not None else ""


def _shown(
    judge: FeatureNet,
    facets: Mapping[Objective, UnitFacets],
    made: Mapping[str, tuple[Tensor, Sequence[Objective]]],
) -> dict[str, dict]:
    """Returns for each method the number of images per class and facet, and of classes with all facets."""
    classes = [o.label for o in facets if o.label in CLASSES]
    size = int(next(iter(facets.values())).images.shape[-1])
    experts = doodle_facet_judges(judge, classes, size)
    shown = {}
    for title, (images, objectives) in made.items():
        rows = [i for i, objective in enumerate(objectives) if objective.label in classes]
        labels = [objectives[i].label for i in rows]
        coverage = facet_coverage(judge, experts, resized(images[rows], (size, size)), labels)
        kinds = {name: {kind: len(places) for kind, places in by.items()} for name, by in coverage.shown.items()}
        shown[title] = {"classes_with_every_kind": len(coverage.complete), "of": len(kinds), "images_of_kinds": kinds}
        log.info(
            "%s: of %d of %d classes every kind has a preferred image recognized as it",
            title,
            len(coverage.complete),
            len(kinds),
        )
    return shown


@torch.no_grad()
def codes_in(target: FeatureNet, images: Tensor, layer: str) -> Tensor:
    """Returns the activations of a layer for images (N, 3, H, W), on the CPU."""
    device = target.device
    return torch.cat([target(part.to(device), [layer])[layer].float().cpu() for part in images.split(64)])
