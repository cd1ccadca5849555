"""Feature accentuation: a real image is pushed along a unit, near itself and within a region (Hamblin et al. 2024)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.arguments import read_mask
from dgn.am.setting import Setting
from dgn.am.step import Step
from dgn.errors import UserError
from dgn.networks.featurenet import IMAGES


class StayNear:
    """A penalty on the distance from the image at which the search starts: weight |a(x) - a(x0)|^2 / |a(x0)|^2.

    Args:
        setting: the target.
        weight: the weight of the penalty.
        layer: the layer of the target in whose activations a the distance is measured; "images": in pixels.
    """

    def __init__(self, setting: Setting, weight: float = 1.0, layer: str = IMAGES) -> None:
        self.target, self.weight, self.layer = setting.target, weight, layer
        self.target.layer(layer)  # raises UserError if there is none
        self._start = torch.empty(0)

    def loss(self, step: Step) -> Tensor:
        activations = self.target(step.images, [self.layer])[self.layer].flatten(1)
        if step.i == 0:
            self._start = activations.detach().clone()
        scale = self._start.square().sum(1).clamp_min(1e-12)
        return self.weight * (activations - self._start).square().sum(1) / scale


class Within:
    """Only a region of the image changes: the target is shown the start outside of it, and so is the result.

    (With codes the whole image is generated; there the target alone is shown the start outside.)

    Args:
        mask: the file of an image, white where the image may change, or of an .npy array of 0..1; None: a region that
            is relevant for the unit.
        relevance: without a mask, the share of the image that may change: where |gradient x difference from the mean|,
            blurred, is largest at the start. None: everywhere.

    Raises:
        UserError: for a share that is none.
    """

    def __init__(self, mask: str | None = None, relevance: float | None = None) -> None:
        if relevance is not None and not 0 < relevance <= 1:
            raise UserError(f"relevance={relevance}: give the share of the image that may change, above 0, at most 1")
        self.relevance = relevance if mask is None else None
        self._given = read_mask(mask).clamp(0, 1) if mask is not None else None
        self._mask = torch.ones(())
        self._start = torch.empty(0)

    def view(self, images: Tensor, step: Step) -> Tensor:
        if step.i == 0:
            self._start, self._mask = images.detach().clone(), torch.ones((), device=images.device)
            if self._given is not None:
                size = (images.shape[-2], images.shape[-1])
                given = F.interpolate(self._given[None, None], size, mode="bilinear", antialias=True)
                self._mask = given.to(images.device)
        return self._start + self._mask * (images - self._start)

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        if self.relevance is not None and step.i == 0 and step.slope is not None:
            self._mask = _relevant(self._start, step.slope.detach(), self.relevance)
        return gradient

    def project(self, step: Step) -> None:
        if getattr(step.parametrization, "searches_codes", False) or self._mask.ndim == 0:
            return
        images = step.parametrization.images(step.parameters)
        kept = self._start + self._mask * (images - self._start)
        step.parameters.copy_(step.parametrization.encode(kept.clamp(0, 1)))


def _relevant(images: Tensor, slope: Tensor, share: float) -> Tensor:
    """Returns 1 where images (N, 3, H, W) are relevant and 0 elsewhere, (N, 1, H, W), for this share of the pixels."""
    mean = images.mean((2, 3), keepdim=True)
    relevance = (slope * (images - mean)).sum(1, keepdim=True).abs()
    side = max(3, 2 * (min(images.shape[-2:]) // 16) + 1)
    smooth = F.avg_pool2d(F.avg_pool2d(relevance, side, 1, side // 2), side, 1, side // 2)
    count = max(1, round(share * smooth[0].numel()))
    threshold = smooth.flatten(1).topk(count, dim=1).values[:, -1].view(-1, 1, 1, 1)
    return (smooth >= threshold).float()
