"""Attribution by occlusion: a grey patch slides over the image (Zeiler & Fergus 2013, section 4.2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.attribution.base import Channels
from dgn.attribution.response import Response, read_as_probability
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

_PATCHES = 6  # patches per side by default; neighbours overlap by half


@dataclass(frozen=True)
class Occlusion:
    """How much a patch lowers the value, averaged over the patches that cover a pixel; classes by their probability.

    Where a patch raises the value, the map is negative: there the image has something that speaks against the class.

    Attributes:
        patch: Side of the patch in pixels; None: a sixth of the image's shorter side.
        stride: Pixels from one patch to the next; None: half a patch.
        grey: The value of the patch.
        batch_size: Occluded images that run together.
        channels: How channels become one map; occlusion has only one.
        colour: Always False: all channels are covered at once.
    """

    patch: int | None = None
    stride: int | None = None
    grey: float = 0.5
    batch_size: int = 16
    channels: Channels = "sum"
    colour: bool = False
    zero: ClassVar[str] = "no patch changes the unit"

    @property
    def signed(self) -> bool:
        return True

    @torch.no_grad()
    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        from captum.attr import Occlusion as Method  # here: it takes a second, and most commands need none of it

        side = min(images.shape[-2:])
        patch = self.patch or max(1, round(side / _PATCHES))
        stride = self.stride or max(1, patch // 2)
        if not 1 <= stride <= patch <= side:
            raise UserError(
                f"occlusion by patches of {patch} pixels every {stride}, on images of {side}: the stride must be at "
                "least 1 and at most the patch, and the patch at most the image"
            )
        response = Response(net, read_as_probability(objective, net))
        drops: Tensor = Method(response).attribute(
            images,
            sliding_window_shapes=(images.shape[1], patch, patch),
            strides=(images.shape[1], stride, stride),
            baselines=self.grey,
            perturbations_per_eval=max(1, self.batch_size // len(images)),
        )
        return drops[:, :1].detach()
