"""Total variation: as a loss (Mahendran & Vedaldi 2015) and as a denoiser after each step (MFV, Nguyen et al. 2016)."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from dgn.am.step import Step


class TotalVariation:
    """sum over pixels and colours of ((x(i, j+1) - x(i, j))^2 + (x(i+1, j) - x(i, j))^2)^(beta / 2), times
    (reach / typical)^beta (Mahendran & Vedaldi 2015, beta = 2). Their published code: reach 6.5 and typical 80, on
    0..255."""

    def __init__(self, beta: float = 2.0, reach: float = 6.5, typical: float = 80.0) -> None:
        self.beta, self.reach, self.typical = beta, reach, typical

    def loss(self, step: Step) -> Tensor:
        return (self.reach / self.typical) ** self.beta * total_variation(step.pixels(), self.beta)


class Denoise:
    """Total-variation denoising after each step, by split Bregman (`denoise_bregman`), its weight going linearly from
    `first` to `last`: the smaller, the smoother. Pixels count 0..255."""

    def __init__(self, first: float, last: float, iterations: int = 100) -> None:
        self.first, self.last, self.iterations = first, last, iterations

    def project(self, step: Step) -> None:
        weight = self.first + (self.last - self.first) * step.i / step.steps
        step.repaint(denoise_bregman(step.pixels(), weight, self.iterations))


def total_variation(pixels: Tensor, beta: float = 2.0) -> Tensor:
    """(N, C, H, W) -> (N,): the loss without its weight; nothing beyond the last row and column counts."""
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
    """Images (N, C, H, W), each colour for itself, made piecewise smooth: the split-Bregman iteration of Getreuer 2012
    as scikit-image's `denoise_tv_bregman` has it, with the same meaning of `weight` (isotropic, lambda = 2 weight).

    There the image is improved by one Gauss-Seidel sweep an iteration; here that linear system is solved exactly by a
    cosine transform, for all images at once. Both end in the same image. Edges are mirrored (there, what lies beyond
    them stays as it was before, and shows in the outermost pixels)."""
    lam = 2 * weight
    height, width = pixels.shape[2:]
    rows, columns, laplacian = _transforms(height, width, pixels.device, pixels.dtype)
    gain = 1 / (weight + lam * laplacian)
    given = weight * pixels
    # d is what the gradient of the image is taken for, b the Bregman variable, and d - b what the image sees of them.
    # The start is d = the gradient of the image itself, so that few iterations smooth too little rather than too much.
    bx, by = torch.zeros_like(pixels), torch.zeros_like(pixels)
    found = pixels
    for _ in range(iterations):
        tx, ty = _ahead(found, 3).add_(bx), _ahead(found, 2).add_(by)
        length = torch.hypot(tx, ty).mul_(lam)
        keep = 1 - length / (length + 1)  # d = (1 - keep) t
        bx, by = tx * keep, ty * keep
        source = given - lam * (_back(tx.sub_(bx).sub_(bx), 3) + _back(ty.sub_(by).sub_(by), 2))
        found = rows.T @ ((rows @ source @ columns.T) * gain) @ columns
    return found


@lru_cache(maxsize=16)
def _transforms(height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The cosine transforms of rows and columns, and minus the Laplacian of each coefficient, (height, width)."""
    down, across = (2 - 2 * torch.cos(torch.pi * torch.arange(n, dtype=torch.float64) / n) for n in (height, width))
    laplacian = down[:, None] + across[None, :]
    rows, columns = cosines(height).to(device, dtype), cosines(width).to(device, dtype)
    return rows, columns, laplacian.to(device, dtype)


def cosines(side: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of one axis, (side, side), in float64."""
    k, n = (torch.arange(side, dtype=torch.float64).view(shape) for shape in ((-1, 1), (1, -1)))
    matrix = math.sqrt(2 / side) * torch.cos(torch.pi * (n + 0.5) * k / side)
    matrix[0] /= math.sqrt(2)
    return matrix


def _ahead(values: Tensor, dim: int) -> Tensor:
    """The next minus this along an axis; nothing at the end."""
    change = torch.zeros_like(values)
    last = values.shape[dim] - 1
    change.narrow(dim, 0, last).copy_(values.narrow(dim, 1, last) - values.narrow(dim, 0, last))
    return change


def _back(values: Tensor, dim: int) -> Tensor:
    """This minus the one before: minus the adjoint of `_ahead`, for values that are zero at the end."""
    change = values.clone()
    last = values.shape[dim] - 1
    change.narrow(dim, 1, last).sub_(values.narrow(dim, 0, last))
    return change
