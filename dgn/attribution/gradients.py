"""Attributions from the plain gradient: saliency and integrated gradients."""

from dataclasses import dataclass

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.surrogates import below_rectifier
from dgn.attribution.base import Channels, ColourAttribution
from dgn.attribution.response import Response, differentiable
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Saliency(ColourAttribution):
    """The gradient of the unit with respect to the pixels (Simonyan et al. 2013, section 3).

    The published map is the largest absolute value over the colour channels.

    Attributes:
        channels: How colour channels become one map: max (published), sum (signed) or absolute.
        colour: Whether the three channels are shown as a picture.
    """

    channels: Channels = "max"
    colour: bool = False

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        from captum.attr import Saliency as Method  # here: it takes a second, and most commands need none of it

        response = Response(net, below_rectifier(objective, net))
        return Method(response).attribute(differentiable(images), abs=False).detach()


@dataclass(frozen=True)
class IntegratedGradients(ColourAttribution):
    """The gradient along the straight line from a baseline to the image, times their difference (Sundararajan 2017).

    The attributions of all pixels add up to the difference of the unit's values on the image and on the baseline.

    Attributes:
        baseline: The grey value of the baseline; 0: black, as published.
        steps: The number of points on the line.
        channels: How colour channels become one map: sum (signed), max or absolute.
        batch_size: Points that run together.
        colour: Whether the three channels are shown as a picture.
    """

    baseline: float = 0.0
    steps: int = 50
    channels: Channels = "sum"
    batch_size: int = 16
    colour: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise UserError(f"steps={self.steps}: integrated gradients need at least 1 step; 50 is common")

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        from captum.attr import IntegratedGradients as Method

        response = Response(net, below_rectifier(objective, net))
        attributed: Tensor = Method(response).attribute(
            differentiable(images),
            baselines=self.baseline,
            n_steps=self.steps,
            internal_batch_size=max(self.batch_size, len(images)),
        )
        return attributed.detach().to(images.dtype)
