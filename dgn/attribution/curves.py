"""Deletion and insertion curves (Petsiuk et al. 2018, section 4.3): is the map right about what matters?

Deletion takes away the pixels in the order of the map, most important first. If the map is right, the value falls at
once: a small area under the curve is good. Insertion begins with a blurred image and puts the pixels back in the same
order: a large area is good.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.attribution.response import Response, read_as_probability
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

_BLUR = 12  # the blur's sigma is the image's side divided by this: no class of the embedded networks survives it


@dataclass(frozen=True)
class Curves:
    """The value of an objective while pixels are taken away, or put back, in the order of one map.

    The values of a class are probabilities. Other values are divided by the largest absolute value that the unit takes
    on the way of any of the maps, so that units of all sizes, and units below 0, count alike in a mean.

    Attributes:
        deletion: (steps + 1,), from the whole image to none of it.
        insertion: (steps + 1,), from the blurred image to the whole one.
    """

    deletion: Tensor
    insertion: Tensor

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve; small is good."""
        return float(torch.trapezoid(self.deletion) / (len(self.deletion) - 1))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve; large is good."""
        return float(torch.trapezoid(self.insertion) / (len(self.insertion) - 1))


@torch.no_grad()
@full_precision
def deletion_and_insertion(
    net: FeatureNet, objective: Objective, image: Tensor, maps: Sequence[Tensor], steps: int = 20
) -> list[Curves]:
    """Returns the curves of each map.

    Args:
        net: The network.
        objective: The objective; class units are read as probabilities.
        image: (3, H, W) in image space, as the network sees it.
        maps: (H, W) each; large where the image matters.
        steps: The number of equal steps in which pixels change.

    Raises:
        UserError: For less than one step.
    """
    if steps < 1:
        raise UserError(f"curve_steps={steps}: give at least 1 step")
    read = read_as_probability(objective, net)
    response = Response(net, read)
    grey = image.mean((1, 2), keepdim=True).expand_as(image)
    blurred = _blurred(image)
    ways = []
    for values in maps:
        ranks = _ranks(values.to(image.device))
        counts = torch.linspace(0, ranks.numel(), steps + 1, device=image.device).round()
        chosen = (ranks[None] < counts[:, None, None])[:, None]  # (steps + 1, 1, H, W): the most important pixels
        deleted = response(torch.where(chosen, grey, image)).cpu()
        ways.append(Curves(deleted, response(torch.where(chosen, image, blurred)).cpu()))
    if read != objective:
        return ways
    scale = max(float(way.abs().max()) for curves in ways for way in (curves.deletion, curves.insertion)) or 1.0
    return [Curves(curves.deletion / scale, curves.insertion / scale) for curves in ways]


def _ranks(values: Tensor) -> Tensor:
    """Returns the place of each pixel in descending order, (H, W); of equal ones the earlier pixel is first."""
    order = values.flatten().argsort(descending=True, stable=True)
    return order.argsort().view_as(values)


def _blurred(image: Tensor) -> Tensor:
    sigma = max(image.shape[-2:]) / _BLUR
    size = 2 * min(round(2 * sigma), (min(image.shape[-2:]) - 1) // 2) + 1
    from torchvision.transforms.functional import gaussian_blur  # here, as importing torchvision takes seconds

    return gaussian_blur(image[None], [size, size], [sigma, sigma])[0]
