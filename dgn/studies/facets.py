"""How many facets units have, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.data.reference import Reference
from dgn.metrics.facet_count import facet_count
from dgn.metrics.features import extract_features
from dgn.metrics.top_images import TopImages, at_input, crop, top_images
from dgn.networks.receptive.field import region
from dgn.studies.base import Figure, Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement
from dgn.visualization.facets import find_unit_facets, starts_in_facets
from dgn.visualization.settings import FacetSettings
from dgn.visualization.unit_notes import single_unit

_SIDE = 64
_OF_CLASS = 16


@dataclass(frozen=True, kw_only=True)
class Facets(Study):
    """Keys: layers ("auto": the target's main ones), units of each, image parts of each unit, most facets."""

    layers: Sequence[str] | str = "auto"
    per_layer: int = 4
    parts: int = 40
    most: int = 6

    title = "Facets: are higher layers more multifaceted?"
    source = "Nguyen, Yosinski & Clune 2016 (MFV)"
    claim = "Units of higher layers are more multifaceted than those of lower ones."
    varies = "which units of a layer are taken, and the clustering"
    measured = (
        "For every unit, the parts of real images (at its receptive field) that excite it most. Facets: the number of "
        "clusters among these parts in the judge's features, by the gap statistic. Spread: the mean distance between "
        "two of the parts in these features, relative to that of two parts of the layer at random."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        layers = (
            [*lab.maps(), *lab.vectors(), lab.target.class_layer()] if isinstance(self.layers, str) else self.layers
        )
        numbers: dict[str, float] = {}
        curve: list[float] = []
        images = lab.real("train")[0]
        for depth, layer in enumerate(layers):
            units = lab.hidden_units(layer, self.per_layer, seed)
            features = [_part_features(lab, top, images) for top in _top(lab, units, images, self.parts)]
            counts = [facet_count(own, self.most, seed) for own in features]
            mixed = torch.cat([own[: max(2, len(own) // len(features))] for own in features])
            spread = float(np.mean([_mean_distance(own) for own in features])) / max(1e-12, _mean_distance(mixed))
            numbers |= {f"{layer}/depth": float(depth), f"{layer}/facets": float(np.mean(counts))}
            numbers |= {f"{layer}/spread": spread}
            curve.append(numbers[f"{layer}/facets"])
        figures = [self._shown(lab, seed)]
        return Measurement(numbers, figures, {"facets": curve}, "layers: " + ", ".join(layers))

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "The number of facets grows with depth.",
                "rank correlation of depth and the mean number of facets over layers",
                _correlations(numbers, "facets"),
            ),
            statement(
                "The parts that excite a unit differ more in higher layers.",
                "rank correlation of depth and spread over layers",
                _correlations(numbers, "spread"),
            ),
        ]

    def _shown(self, lab: Lab, seed: int) -> Figure:
        """Returns preferred images of class units, one from each of two facets, and the facets' mean images."""
        objectives, prior = lab.units(count=4), lab.trainings.prior()
        reference = Reference(lab.data, max(lab.budget.images, _OF_CLASS * len(lab.data.classes)))
        facets = find_unit_facets(FacetSettings(2, seed=seed), lab.target, objectives, reference)
        starts = starts_in_facets(facets, prior)
        columns: dict[str, Tensor] = {}
        for n in range(2):
            found = [lab.search_from(starts, [o], [n], prior).images[0] for o in objectives]
            real = [
                facets[o].images[facets[o].clustering.facets[n % len(facets[o].clustering.facets)].members[0]]
                for o in objectives
            ]
            columns |= {f"facet {n + 1} · real": torch.stack(real), f"facet {n + 1} · preferred": torch.stack(found)}
        caption = "Two facets of class units: the most typical real image, and the search from the facet's mean code."
        return side_by_side("facets", columns, [o.label for o in objectives], caption)


def _top(lab: Lab, units: Sequence[Objective], images: Tensor, count: int) -> list[TopImages]:
    singles = [unit for objective in units if (unit := single_unit(objective)) is not None]
    return top_images(lab.target, singles, images, count)


def _part_features(lab: Lab, top: TopImages, images: Tensor) -> Tensor:
    """Returns the judge's features of the parts of images that excite a unit most."""
    assert top.unit is not None  # the tops are of units
    parts = []
    for index, place in zip(top.indices.tolist(), top.places, strict=True):
        image = at_input(lab.target, images[index][None])[0]
        part = crop(image, region(lab.target, top.unit.layer, place or None))
        parts.append(F.interpolate(part[None].float(), (_SIDE, _SIDE), mode="bilinear", antialias=True)[0])
    return extract_features(lab.judge, torch.stack(parts))


def _mean_distance(features: Tensor) -> float:
    return float(torch.pdist(features.float()).mean())


def _correlations(numbers: Numbers, figure: str) -> np.ndarray:
    values = []
    for i in range(len(numbers.seeds)):
        x, y = ([numbers(f"{row}/{name}")[i] for row in numbers.rows] for name in ("depth", figure))
        values.append(float(spearmanr(x, y).statistic) if len(set(y)) > 1 else 0.0)
    return np.array(values)
