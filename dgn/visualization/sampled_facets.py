"""facets=k facet_source=samples: the kinds of image that excite a unit, found without real images.

Codes are drawn from the prior's code model and decoded. The samples that excite a unit are clustered as multifaceted
feature visualization clusters real images (Nguyen, Yosinski & Clune 2016), and each cluster starts a search.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dgn.am.facets import find_facets
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.runs.progress import announced
from dgn.visualization.facets import UnitFacets, codes_in
from dgn.visualization.samples import check_draws
from dgn.visualization.settings import FacetSettings
from dgn.visualization.unit_notes import single_unit

_LEAST = 50
"""The smallest number of samples of a unit. If the target sees a class in fewer, its facets are those of the samples
with the highest values, of whatever class."""
_BATCH = 64


@torch.no_grad()
def find_sampled_facets(
    settings: FacetSettings, target: FeatureNet, objectives: Sequence[Objective], priors: Sequence[Prior]
) -> dict[Objective, UnitFacets]:
    """Returns the facets of every objective among samples of the first prior.

    Args:
        settings: how many facets a unit has, the layer in whose codes they are found, and the number of samples.
        target: the network whose units are visualized.
        objectives: the objectives.
        priors: the priors; the first one draws.

    Raises:
        UserError: without a prior that can draw, or if there are too few samples.
    """
    if not priors:
        raise UserError("facet_source=samples needs a prior, which draws the samples; give prior=FILE")
    prior = priors[0]
    check_draws(prior)
    layer = settings.layer or target.code_layer()
    target.layer(layer)
    codes = prior.sample(settings.samples, settings.seed)
    images = torch.cat(list(_decoded(prior, codes)))
    values = objective_values(target, objectives, images.split(_BATCH))
    chosen = choose(objectives, values, _classes_seen(target, objectives, images), target)
    unit_facets = {}
    for objective, places in chosen.items():
        own = images[places]
        try:
            clustering = find_facets(codes_in(target, own, layer), settings.count, settings.seed)
        except UserError as error:
            raise UserError(
                f"{objective.label}: {str(error).replace('real images', 'samples')}; "
                f"raise facet_samples (now {settings.samples})"
            ) from None
        unit_facets[objective] = UnitFacets(places, own, clustering, codes[places].cpu(), prior)
    return unit_facets


def choose(
    objectives: Sequence[Objective], values: Tensor, seen: Tensor | None, target: FeatureNet
) -> dict[Objective, list[int]]:
    """Returns the samples that excite each objective most.

    For a class these are half of the samples in which the target sees it, as others show it poorly. For other units
    they are a tenth of all samples.

    Args:
        objectives: the objectives.
        values: (N, objectives), their values on the samples.
        seen: (N,), the class that the target sees in each sample; None: no objective is a class.
        target: the network.
    """
    chosen: dict[Objective, list[int]] = {}
    for column, objective in enumerate(objectives):
        index = _class_index(target, objective)
        if index is not None and seen is not None:
            own = (seen == index).nonzero().flatten()
            count = max(_LEAST, len(own) // 2)
        else:
            own = torch.arange(len(values))
            count = max(_LEAST, len(values) // 10)
        if len(own) < _LEAST:  # of a class that is rarely drawn
            own = torch.arange(len(values))
        best = values[own, column].topk(min(count, len(own))).indices
        chosen[objective] = sorted(own[best].tolist())
    return chosen


def _decoded(prior: Prior, codes: Tensor) -> Iterator[Tensor]:
    parts = announced(
        codes.split(_BATCH), len(codes), "Drawing images, for facets", "fewer with facet_samples=N", _BATCH
    )
    return (prior.decode(part).float().cpu() for part in parts)


def _classes_seen(target: FeatureNet, objectives: Sequence[Objective], images: Tensor) -> Tensor | None:
    """Returns the class (N,) that the target sees in each image, if any objective is a class."""
    if all(_class_index(target, objective) is None for objective in objectives):
        return None
    return codes_in(target, images, target.class_layer()).argmax(1)


def _class_index(target: FeatureNet, objective: Objective) -> int | None:
    unit = single_unit(objective)
    if unit is None or target.headless or target.layer(unit.layer).name != target.class_layer():
        return None
    return unit.index
