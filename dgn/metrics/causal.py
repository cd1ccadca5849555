"""Causal predictions: do a unit's pictures help to predict which of two occlusions lowers its activation more?

The machine version of the task of Zimmermann et al. 2021 ("How well do feature visualizations support causal
understanding of CNN activations?"): a square of grey hides a part of a real image that excites the unit, once where it
lowers the activation most and once where it lowers it least. The occlusion that lowers the unit more should leave an
image that is less like the explanations. With Delta(q) as in `dgn.metrics.predictive` (`causal=True` there),

    margin = Delta(occluded where the effect is least) - Delta(occluded where it is greatest)

and the answer is right if the margin is positive. Chance is 0.5; people without help had 0.60, with synthetic images
0.67 and with real images 0.66 to 0.67: in this task synthetic images are no worse than real ones.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.data.batches import BATCH
from dgn.errors import UserError
from dgn.metrics.occlusion import starts
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

PATCH, SIDE = 90, 224
"""Zimmermann et al.: squares of 90x90 pixels on images of 224x224."""


@dataclass(frozen=True)
class Occlusions:
    """Two occlusions of each of Q images.

    Attributes:
        greatest: (Q, 3, H, W), occluded where that lowers the objective most.
        least: (Q, 3, H, W), occluded where that changes it least.
        drops: (Q, 2), by how much each lowers it.
    """

    greatest: Tensor
    least: Tensor
    drops: Tensor

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """The occlusions with the least and the greatest effect, of the images where the two differ in effect."""
        differ = self.drops[:, 0] > self.drops[:, 1]
        return self.least[differ], self.greatest[differ]


@torch.no_grad()
@full_precision
def occlusions(
    target: FeatureNet, objective: Objective, images: Tensor, patch: int | None = None, stride: int | None = None
) -> Occlusions:
    """Returns the occlusions of images with the greatest and the least effect on an objective.

    The square has the mean colour of its image.

    Args:
        target: the network.
        objective: the unit, or any other objective.
        images: (Q, 3, H, W) in image space.
        patch: the square's side in pixels; None: 90 of 224, in proportion.
        stride: the distance between the places that are tried; None: a quarter of the patch.

    Raises:
        UserError: for a square larger than the image or a stride below 1.
    """
    height, width = images.shape[-2:]
    patch = max(1, round(PATCH * min(height, width) / SIDE)) if patch is None else patch
    stride = max(1, patch // 4) if stride is None else stride
    if not 1 <= patch <= min(height, width) or stride < 1:
        raise UserError(
            f"an occlusion of {patch} pixels every {stride}, on images of {height}x{width}: the square must be at most "
            "the image, and the stride at least 1"
        )
    corners = [(y, x) for y in starts(height, patch, stride) for x in starts(width, patch, stride)]
    whole = objective_values(target, [objective], images.split(BATCH))
    drops = []
    for image in images:
        occluded = (torch.stack([_hidden(image, corner, patch) for corner in part]) for part in _parts(corners))
        drops.append(objective_values(target, [objective], occluded)[:, 0])
    effect = whole - torch.stack(drops)  # (Q, corners)
    greatest, least = effect.argmax(1), effect.abs().argmin(1)
    chosen = torch.stack([greatest, least], 1)
    hidden = [
        torch.stack([_hidden(image, corners[i], patch) for image, i in zip(images, places.tolist(), strict=True)])
        for places in (greatest, least)
    ]
    return Occlusions(hidden[0], hidden[1], effect.gather(1, chosen))


def _parts(corners: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    return [corners[i : i + BATCH] for i in range(0, len(corners), BATCH)]


def _hidden(image: Tensor, corner: tuple[int, int], patch: int) -> Tensor:
    (y, x), image = corner, image.clone()
    image[:, y : y + patch, x : x + patch] = image.mean((1, 2))[:, None, None]
    return image
