"""Editing a code: along the strongest axes of real codes, and between the codes of two images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.prior import Prior

AXES = 8
"""The number of axes that can be moved along."""


@torch.no_grad()
def code_of(prior: Prior, image: Tensor) -> Tensor:
    """Returns the code of an image (3, H, W). Raises UserError if the prior's encoder is not available."""
    return prior.encode(image[None])[0]


@torch.no_grad()
def moved_along(prior: Prior, code: Tensor, amounts: Sequence[float]) -> Tensor:
    """Returns a code, moved by amounts of standard deviations along the strongest axes of real codes.

    Codes of a rectified layer stay at or above 0.

    Raises:
        UserError: If the prior's file has no axes, as files of early versions.
    """
    axes = prior.principal
    if axes is None:
        raise UserError(f"{prior.source} has no principal axes of codes; train it again, or refit its statistics")
    count = min(len(amounts), axes.count)
    shares = torch.tensor(list(amounts[:count]), dtype=axes.axes.dtype, device=axes.axes.device)
    moved = code.flatten() + (shares * axes.std[:count]) @ axes.axes[:count]
    return (moved.clamp_min(0) if prior.statistics.rectified else moved).view_as(code)


@torch.no_grad()
def between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Returns the code on the straight line between two codes: the first for share 0, the second for 1."""
    return torch.lerp(first, second, share)


@torch.no_grad()
def decoded(prior: Prior, code: Tensor) -> Tensor:
    """Returns the image (3, H, W) of a code, on the CPU."""
    return prior.decode(code[None])[0].float().cpu()
