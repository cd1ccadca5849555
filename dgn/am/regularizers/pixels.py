"""Regularizers of the pixels that the parameters stand for: their range, their smoothness, their sparsity."""

import torch
from torch import Tensor

from dgn.am.step import Step


class AlphaNorm:
    """Sum over pixels of |x / typical|^alpha, where |x| is a pixel's norm over its colours.

    It keeps pixels in a natural range (Mahendran & Vedaldi 2015: alpha = 6; typical = 80 on 0..255 in their published
    code).
    """

    def __init__(self, alpha: float = 6.0, typical: float = 80.0) -> None:
        self.alpha, self.typical = alpha, typical

    def loss(self, step: Step) -> Tensor:
        pixels = step.pixels() / self.typical
        return (pixels.square().sum(1) + 1e-12).pow(self.alpha / 2).flatten(1).sum(1)


class NormBound:
    """Rescales pixels whose norm over their colours exceeds `bound` (on 0..255) to that norm after each step.

    Mahendran & Vedaldi's published code uses 160, twice the typical norm.
    """

    def __init__(self, bound: float = 160.0) -> None:
        self.bound = bound

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        norms = pixels.norm(dim=1, keepdim=True).clamp_min(1e-20)
        step.repaint(pixels * (self.bound / norms).clamp_max(1.0))


class Blur:
    """A Gaussian blur every `every` steps (Yosinski et al. 2015).

    The kernel is truncated at four standard deviations and edges are mirrored, as in scipy's gaussian_filter, which
    the authors used.

    Args:
        width: the standard deviation, in pixels.
        every: the number of steps between blurs.
    """

    def __init__(self, width: float, every: int = 4) -> None:
        self.width, self.every = width, every

    def project(self, step: Step) -> None:
        if self.width <= 0 or self.every <= 0 or step.i % self.every:
            return
        pixels = step.pixels()
        rows, columns = (blur_matrix(side, self.width).to(pixels) for side in pixels.shape[2:])
        step.repaint(rows @ pixels @ columns.T)


class SmallNorm:
    """Sets pixels whose norm over their colours is below the image's given percentile to zero after each step.

    Source: Yosinski et al. 2015.
    """

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        step.repaint(_silenced(pixels, pixels.norm(dim=1), self.percentile))


class SmallContribution:
    """Sets pixels whose contribution is below the image's given percentile to zero after each step.

    The contribution is |sum over colours of x * gradient| (Yosinski et al. 2015).
    """

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        assert step.slope is not None  # known once the objective has been differentiated
        step.repaint(_silenced(pixels, (pixels * step.slope).sum(1).abs(), self.percentile))


def blur_matrix(side: int, width: float) -> Tensor:
    """Returns the matrix (side, side) of a Gaussian blur along one axis."""
    reach = int(4 * width + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    places = torch.arange(side)[:, None] + torch.arange(-reach, reach + 1)[None, :]
    places = places % (2 * side)  # mirrored with the edge twice: d c b a | a b c d | d c b a
    places = torch.where(places < side, places, 2 * side - 1 - places)
    return torch.zeros(side, side).index_put((torch.arange(side)[:, None], places), kernel, accumulate=True)


def _silenced(pixels: Tensor, measure: Tensor, percentile: float) -> Tensor:
    """Returns pixels (N, C, H, W), zero where their measure (N, H, W) is below the image's percentile."""
    if percentile <= 0:
        return pixels
    # By sorting, as torch.quantile refuses large batches; linear between neighbours, as numpy's percentile.
    ordered = measure.flatten(1).sort(1).values
    place = percentile / 100 * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    threshold = torch.lerp(ordered[:, below], ordered[:, above], place - below)
    return pixels * (measure >= threshold[:, None, None]).unsqueeze(1)
