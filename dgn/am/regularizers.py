"""Regularizers: what is done at each step beside climbing.

Each has any of four parts, given the `Step`:

    view(images, step)        what the target is shown instead of the images (dgn.am.views)
    loss(step)                (N,), subtracted from the objective
    gradient(gradient, step)  the gradient that goes on from here, (N, ...)
    project(step)             changes step.parameters in place after the step

What works on pixels works on any parametrization: on pixels themselves where these are optimized, else on the images
that the parameters stand for, and back (`Step.pixels`, `Step.repaint`).

Losses and gradients act in the order in which a method lists them: a loss behind `UnitGradient` is weighed against
a gradient of known size, one before it against the objective itself.
"""

import torch
from torch import Tensor

from dgn.am.step import Step


class L2Loss:
    """lambda * |y|^2 (Nguyen et al. 2016, eq. 1; Simonyan et al. 2013, eq. 1). weight: lambda; DGN-AM's figure is
    0.005, for codes on the scale of CaffeNet's fc6; on pixels, they count 0..255."""

    def __init__(self, weight: float = 0.005) -> None:
        self.weight = weight

    def loss(self, step: Step) -> Tensor:
        return self.weight * (step.parameters / step.parametrization.unit).flatten(1).square().sum(1)


class Decay:
    """y <- factor * y after each step: the L2 term as the published search applies it (factor 0.99), and
    Yosinski et al. 2015's decay (factor 1 - theta_decay)."""

    def __init__(self, factor: float = 0.99) -> None:
        self.factor = factor

    def project(self, step: Step) -> None:
        step.parameters.mul_(self.factor)


class Clip:
    """Every parameter into the parametrization's bounds after each step: DGN-AM keeps each code unit within
    [0, mean + 3 sigma] of its activations on real images (Nguyen et al. 2016, 2.4), and pixels stay pixels.

    high: instead, one upper bound for all, in the parametrization's unit: PPGN's 30 on codes of CaffeNet's fc6."""

    def __init__(self, high: float | None = None) -> None:
        self.high = high

    def project(self, step: Step) -> None:
        bounds = step.parametrization.bounds
        if bounds is None:
            return
        low, high = bounds
        if self.high is not None:
            limit = self.high * step.parametrization.unit
            low, high = low.clamp(-limit, 0), torch.full_like(high, limit)
        torch.maximum(torch.minimum(step.parameters, high, out=step.parameters), low, out=step.parameters)


class UnitGradient:
    """The gradient so far is scaled to the mean absolute value `size` (in the parametrization's unit), whatever the
    objective's own scale: so that what follows in the list weighs the same against every unit of every network."""

    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-20).view(-1, *[1] * (gradient.ndim - 1))
        return gradient / scale * (self.size / step.parametrization.unit)


class AlphaNorm:
    """sum over pixels of |x / typical|^alpha, |x| being a pixel's norm over its colours: keeps pixels in a natural
    range (Mahendran & Vedaldi 2015, alpha = 6; typical = 80 of 0..255 in their published code)."""

    def __init__(self, alpha: float = 6.0, typical: float = 80.0) -> None:
        self.alpha, self.typical = alpha, typical

    def loss(self, step: Step) -> Tensor:
        pixels = step.pixels() / self.typical
        return (pixels.square().sum(1) + 1e-12).pow(self.alpha / 2).flatten(1).sum(1)


class NormBound:
    """A pixel whose norm over its colours is above `bound` (of 0..255) is brought back to it after each step: 160,
    twice the typical norm, in Mahendran & Vedaldi's published code."""

    def __init__(self, bound: float = 160.0) -> None:
        self.bound = bound

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        norms = pixels.norm(dim=1, keepdim=True).clamp_min(1e-20)
        step.repaint(pixels * (self.bound / norms).clamp_max(1.0))


class Blur:
    """A Gaussian blur every `every` steps (Yosinski et al. 2015). width: its standard deviation, in pixels;
    truncated at four of them, edges mirrored, as scipy's gaussian_filter, which they used."""

    def __init__(self, width: float, every: int = 4) -> None:
        self.width, self.every = width, every

    def project(self, step: Step) -> None:
        if self.width <= 0 or self.every <= 0 or step.i % self.every:
            return
        pixels = step.pixels()
        rows, columns = (blur_matrix(side, self.width).to(pixels) for side in pixels.shape[2:])
        step.repaint(rows @ pixels @ columns.T)


class SmallNorm:
    """Pixels whose norm over their colours is under the image's given percentile become zero after each step
    (Yosinski et al. 2015)."""

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        step.repaint(_silenced(pixels, pixels.norm(dim=1), self.percentile))


class SmallContribution:
    """Pixels whose contribution |sum over colours of x * gradient| is under the image's given percentile become zero
    after each step (Yosinski et al. 2015)."""

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile

    def project(self, step: Step) -> None:
        pixels = step.pixels()
        assert step.slope is not None  # known once the objective has been differentiated
        step.repaint(_silenced(pixels, (pixels * step.slope).sum(1).abs(), self.percentile))


def blur_matrix(side: int, width: float) -> Tensor:
    """(side, side): a Gaussian blur of one axis."""
    reach = int(4 * width + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    places = torch.arange(side)[:, None] + torch.arange(-reach, reach + 1)[None, :]
    places = places % (2 * side)  # mirrored with the edge twice: d c b a | a b c d | d c b a
    places = torch.where(places < side, places, 2 * side - 1 - places)
    return torch.zeros(side, side).index_put((torch.arange(side)[:, None], places), kernel, accumulate=True)


def _silenced(pixels: Tensor, measure: Tensor, percentile: float) -> Tensor:
    """The pixels (N, C, H, W) without those whose measure (N, H, W) is under its image's percentile."""
    if percentile <= 0:
        return pixels
    # By sorting, as torch.quantile refuses large batches; linear between neighbours, as numpy's percentile.
    ordered = measure.flatten(1).sort(1).values
    place = percentile / 100 * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    threshold = torch.lerp(ordered[:, below], ordered[:, above], place - below)
    return pixels * (measure >= threshold[:, None, None]).unsqueeze(1)
