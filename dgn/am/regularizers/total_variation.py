"""Total variation: as a loss (Mahendran & Vedaldi 2015) and as a denoiser after each step (MFV, Nguyen et al. 2016)."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from dgn.am.step import Step


class TotalVariation:
    """Total variation as a loss (Mahendran & Vedaldi 2015, beta = 2).

    It is the sum over pixels and colours of ((x(i, j+1) - x(i, j))^2 + (x(i+1, j) - x(i, j))^2)^(beta / 2), times
    (reach / typical)^beta. Their published code uses reach 6.5 and typical 80, on 0..255.
    """

    def __init__(self, beta: float = 2.0, reach: float = 6.5, typical: float = 80.0) -> None:
        self.beta, self.reach, self.typical = beta, reach, typical

    def loss(self, step: Step) -> Tensor:
        return (self.reach / self.typical) ** self.beta * total_variation(step.pixels(), self.beta)


class Denoise:
    """Total-variation denoising after each step, by split Bregman (`denoise_bregman`).

    The weight changes linearly from `first` to `last`; a smaller weight gives smoother images. Pixels are on 0..255.
    """

    def __init__(self, first: float, last: float, iterations: int = 100) -> None:
        self.first, self.last, self.iterations = first, last, iterations

    def project(self, step: Step) -> None:
        weight = self.first + (self.last - self.first) * step.i / step.steps
        step.repaint(denoise_bregman(step.pixels(), weight, self.iterations))


def total_variation(pixels: Tensor, beta: float = 2.0) -> Tensor:
    """Returns the loss without its weight, (N,), of pixels (N, C, H, W).

    Differences beyond the last row and column are zero.
    """
    across = torch.zeros_like(pixels)
    down = torch.zeros_like(pixels)
    across[..., :-1] = pixels[..., 1:] - pixels[..., :-1]
    down[..., :-1, :] = pixels[..., 1:, :] - pixels[..., :-1, :]
    squares = across.square() + down.square()
    if beta != 2:
        squares = (squares + 1e-6).pow(beta / 2)
    return squares.flatten(1).sum(1)


@torch.no_grad()
def denoise_bregman(pixels: Tensor, weight: float, iterations: int = 100) -> Tensor:
    """Denoises images (N, C, H, W), each colour separately, by total variation.

    This is the split-Bregman iteration of Getreuer 2012 as in scikit-image's `denoise_tv_bregman`, with the same
    meaning of `weight` (isotropic, lambda = 2 weight). scikit-image takes one Gauss-Seidel sweep per iteration; here
    the linear system is solved exactly by a cosine transform, for all images at once. Both converge to the same image.
    Edges are mirrored. In scikit-image the values beyond the edges keep their initial values, which affects the
    outermost pixels.
    """
    lam = 2 * weight
    height, width = pixels.shape[2:]
    rows, columns, laplacian = _transforms(height, width, pixels.device, pixels.dtype)
    gain = 1 / (weight + lam * laplacian)
    given = weight * pixels
    # d approximates the gradient of the image, b is the Bregman variable; the image's equation depends on d - b.
    # d starts as the gradient of the given image, so that few iterations smooth too little rather than too much.
    bx, by = torch.zeros_like(pixels), torch.zeros_like(pixels)
    smoothed = pixels
    for _ in range(iterations):
        tx, ty = _ahead(smoothed, 3).add_(bx), _ahead(smoothed, 2).add_(by)
        length = torch.hypot(tx, ty).mul_(lam)
        keep = 1 - length / (length + 1)  # d = (1 - keep) t
        bx, by = tx * keep, ty * keep
        source = given - lam * (_back(tx.sub_(bx).sub_(bx), 3) + _back(ty.sub_(by).sub_(by), 2))
        smoothed = rows.T @ ((rows @ source @ columns.T) * gain) @ columns
    return smoothed


@lru_cache(maxsize=16)
def _transforms(height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the cosine transforms of rows and columns, and minus the Laplacian of each coefficient, (H, W)."""
    down, across = (2 - 2 * torch.cos(torch.pi * torch.arange(n, dtype=torch.float64) / n) for n in (height, width))
    laplacian = down[:, None] + across[None, :]
    # First the dtype: mps has no float64.
    rows, columns, laplacian = (t.to(dtype).to(device) for t in (cosines(height), cosines(width), laplacian))
    return rows, columns, laplacian


def cosines(side: int) -> Tensor:
    """Returns the orthonormal cosine transform (DCT-II) of one axis, (side, side), in float64."""
    k, n = (torch.arange(side, dtype=torch.float64).view(shape) for shape in ((-1, 1), (1, -1)))
    matrix = math.sqrt(2 / side) * torch.cos(torch.pi * (n + 0.5) * k / side)
    matrix[0] /= math.sqrt(2)
    return matrix


def _ahead(values: Tensor, dim: int) -> Tensor:
    """Forward difference along an axis; zero at the end."""
    change = torch.zeros_like(values)
    last = values.shape[dim] - 1
    change.narrow(dim, 0, last).copy_(values.narrow(dim, 1, last) - values.narrow(dim, 0, last))
    return change


def _back(values: Tensor, dim: int) -> Tensor:
    """Backward difference along an axis: minus the adjoint of `_ahead`, for values that are zero at the end."""
    change = values.clone()
    last = values.shape[dim] - 1
    change.narrow(dim, 1, last).sub_(values.narrow(dim, 0, last))
    return change
