"""The real images that excite objectives most and least, for many objectives in one pass over a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values_by_batch
from dgn.data.batches import Images
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class Extremes:
    """The k strongest and k weakest images of each of U objectives, as positions in a stream.

    Images of equal activation are ordered at random, as a stream may be sorted by class. Images whose activation is
    not finite are left out: if an objective has fewer than k others, the last entries of its row are not valid
    (`count`).

    Attributes:
        strongest: (U, k), in descending order of activation.
        strongest_values: (U, k), their activations.
        weakest: (U, k), in ascending order of activation.
        weakest_values: (U, k), their activations.
        count: (U,), the number of images with a finite activation.
        sample: (s,), positions of images drawn at random from the stream.
    """

    strongest: Tensor
    strongest_values: Tensor
    weakest: Tensor
    weakest_values: Tensor
    count: Tensor
    sample: Tensor


@torch.no_grad()
@full_precision
def extreme_images(
    target: FeatureNet, objectives: Sequence[Objective], images: Images, k: int, sample: int = 0, seed: int = 0
) -> Extremes:
    """Finds the images that excite each objective most and least, in one pass and in memory for k of them.

    The two lists of an objective share no image if k is at most half of `count`.

    Args:
        target: the network.
        objectives: the objectives, each read as it is: a unit of a map at its own position.
        images: (N, 3, H, W) in image space, or batches of them.
        k: the number of images in each list.
        sample: the number of images to draw at random.
        seed: seeds the order of equal images and the sample.

    Raises:
        UserError: if there is no image or k is less than 1.
    """
    if k < 1:
        raise UserError(f"{k} images of each unit: give at least 1")
    generator = torch.Generator().manual_seed(seed)
    strongest, weakest, drawn = (_Greatest(rows, width) for rows, width in ((len(objectives), k),) * 2 + ((1, sample),))
    count, start = torch.zeros(len(objectives), dtype=torch.long), 0
    for values in objective_values_by_batch(target, objectives, images):
        keys = torch.rand(len(values), generator=generator)
        places = torch.arange(start, start + len(values))
        finite = values.isfinite()
        strongest.add(values.where(finite, -torch.inf).T, keys, places)
        weakest.add((-values).where(finite, -torch.inf).T, -keys, places)
        drawn.add(keys[None], keys, places)
        count += finite.sum(0)
        start += len(values)
    if start == 0:
        raise UserError("no real image to measure the units on; give reference images")
    return Extremes(
        strongest.places, strongest.values, weakest.places, -weakest.values, count, drawn.places[0].sort().values
    )


class _Greatest:
    """The k greatest values of each row so far; of equal values those with the greatest keys."""

    def __init__(self, rows: int, k: int) -> None:
        self.k = k
        self.values, self.keys = torch.empty(rows, 0), torch.empty(rows, 0)
        self.places = torch.empty(rows, 0, dtype=torch.long)

    def add(self, values: Tensor, keys: Tensor, places: Tensor) -> None:
        """Adds values (rows, n) with keys (n,) and places (n,)."""
        rows = len(self.values)
        values, keys = torch.cat([self.values, values], 1), torch.cat([self.keys, keys.expand(rows, -1)], 1)
        places = torch.cat([self.places, places.expand(rows, -1)], 1)
        order = keys.argsort(dim=1, descending=True)
        by_value = values.gather(1, order).argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, by_value)[:, : self.k]
        self.values, self.keys, self.places = (part.gather(1, order) for part in (values, keys, places))
