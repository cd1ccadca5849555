"""The three losses of DeePSiM at the scale of the paper, for any image size and comparator.

    L = 2e-6 * L_img + 0.01 * L_feat + 100 * L_adv          (Dosovitskiy & Brox 2016, 3; the published loop)

with Caffe's Euclidean loss, sum of squared differences / (2 * batch size), on 227x227x3 pixels in 0..255 and on
CaffeNet's raw pool5 activations. So that the weights keep their meaning in other settings, each loss is scaled to
that of the paper:

L_img   pixels count in 0..255, and the sum over them is scaled to 227*227*3 terms.
L_feat  the comparator's features are scaled so that their total variance over real images is that of CaffeNet's
        pool5 (`PAPER_FEATURE_VARIANCE`); several layers share it equally.
L_adv   a mean over images already (`dgn.training.adversarial`).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from dgn.networks.precision import full_precision

PAPER_PIXELS = 3 * 227 * 227
PAPER_FEATURE_VARIANCE = 1.2e6
"""Sum over the 9216 units of CaffeNet's pool5 of their variance over ImageNet. An estimate: the ranges published
with DGN-AM give each unit's b = mean + 3 sigma (mean of b^2: 1.6e3); for units as sparse as these (sigma about
twice the mean) sigma = b / 3.5."""


@full_precision
def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Caffe's EuclideanLoss of two tensors (N, ...): sum of squared differences / (2 N), a float32 scalar."""
    return (a - b).square().sum() / (2 * len(a))


def image_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Returns L_img of images (N, 3, H, W) in image space, scaled to the paper's 227x227 pixels in 0..255."""
    return 255**2 * PAPER_PIXELS / real[0].numel() * euclidean(generated, real)


@full_precision
def absolute_image_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Returns the mean absolute difference of images (N, 3, H, W) in image space (an L1 norm), on `image_loss`'s scale.

    The scale is such that both losses have the same gradient where every pixel is 0.1 off.
    """
    return 255**2 * PAPER_PIXELS * 0.1 * (generated - real).abs().mean()


def psnr(squared_error: float) -> float:
    """Returns the peak signal-to-noise ratio, in dB, for a mean squared error of images in image space."""
    return -10 * math.log10(max(squared_error, 1e-12))


def feature_loss(generated: Mapping[str, Tensor], real: Mapping[str, Tensor], scales: Mapping[str, float]) -> Tensor:
    """Returns L_feat of comparator features {layer: (N, ...)}; scales: {layer: factor} from `feature_scales`."""
    first, *others = (scales[layer] * euclidean(generated[layer], real[layer]) for layer in real)
    return sum(others, first)


def feature_scales(total_variances: Mapping[str, float]) -> dict[str, float]:
    """Returns {layer: factor of its Euclidean loss}, such that all layers together have the weight of CaffeNet's pool5.

    Args:
        total_variances: {layer: sum of the variances of its units over real images}. A layer that does not vary gets a
            factor of 0.
    """
    share = PAPER_FEATURE_VARIANCE / len(total_variances)
    return {layer: share / variance if variance > 0 else 0.0 for layer, variance in total_variances.items()}


@torch.no_grad()
def relative_distance(generated: Mapping[str, Tensor], real: Mapping[str, Tensor]) -> Tensor:
    """Returns |C(G(y)) - C(x)| / |C(x)| of each image, averaged over the layers of C: (N,)."""
    return torch.stack([relative_error(generated[layer], real[layer]) for layer in real]).mean(0)


def relative_error(a: Tensor, b: Tensor) -> Tensor:
    """Returns |a - b| / |b| of each sample: (N, ...) -> (N,)."""
    a, b = a.float(), b.float()
    positions = tuple(range(1, a.dim()))  # without `flatten`, which copies maps that are channels last in memory
    return torch.linalg.vector_norm(a - b, dim=positions) / torch.linalg.vector_norm(b, dim=positions).clamp_min(1e-12)
