"""The principal axes of real codes: the directions in which codes vary most, and how far (PCA).

They are fitted while the statistics of the code are measured, in one pass over the codes and in bounded memory.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.devices import double, has_float64

AXES = 256
"""The most axes of a prior."""
NUMBERS = 2**22
"""The most numbers in the axes of a prior, unless more are asked for: 16 MB in its file, e.g. 256 axes of 16,384 units,
or 64 of 65,536."""
_DOUBLE = 4096
"""Up to this number of units the fit is in float64; above, float64 would double its memory."""


@dataclass(frozen=True)
class PrincipalAxes:
    """The strongest directions of real codes around their mean.

    A code y has coordinates z_i = axes_i . (y - mean) / std_i, which have mean 0 and variance 1 over real images. What
    the axes do not explain is the residual, of which the variance of each unit is known.

    Attributes:
        mean: (D,), the mean of every unit, where D is the number of units of the code.
        axes: (k, D), orthonormal, the strongest first.
        std: (k,), standard deviation along each axis, positive.
        residual: (D,), standard deviation of each unit of what the axes do not explain.
        code_shape: The shape of a code, of D units.
    """

    mean: Tensor
    axes: Tensor
    std: Tensor
    residual: Tensor
    code_shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of axes, k."""
        return len(self.axes)

    @property
    def residual_variance(self) -> float:
        """The sum over all units of the variance that the axes do not explain."""
        return float(self.residual.double().square().sum())

    @property
    def explained(self) -> float:
        """The share of the variance of real codes that lies along the axes, in [0, 1]."""
        along = float(self.std.double().square().sum())
        return along / max(along + self.residual_variance, 1e-30)

    def project(self, codes: Tensor) -> Tensor:
        """Maps codes (N, *code_shape) to their coordinates (N, k), whitened. Differentiable."""
        return (codes.flatten(1) - self.mean) @ self.axes.T / self.std

    def lift(self, coordinates: Tensor) -> Tensor:
        """Maps coordinates (N, k) to the codes (N, *code_shape) in the span of the axes. Differentiable."""
        return (self.mean + (coordinates * self.std) @ self.axes).unflatten(1, self.code_shape)

    def strongest(self, count: int) -> "PrincipalAxes":
        """Returns the `count` strongest axes (all, if there are fewer); the others become part of the residual."""
        left_out = (self.axes[count:] * self.std[count:, None]).square().sum(0)
        residual = (self.residual.square() + left_out).sqrt()
        return PrincipalAxes(self.mean, self.axes[:count], self.std[:count], residual, self.code_shape)

    def to(self, device: torch.device | str) -> "PrincipalAxes":
        """Returns the axes on a device."""
        mean, axes, std, residual = (t.to(device) for t in (self.mean, self.axes, self.std, self.residual))
        return PrincipalAxes(mean, axes, std, residual, self.code_shape)


def principal_axes(mean: Tensor, std: Tensor, axes: Tensor, axes_std: Tensor) -> PrincipalAxes:
    """Returns the axes with their residual, which follows from the standard deviation of each unit.

    Args:
        mean: (*code_shape), of each unit.
        std: (*code_shape), of each unit.
        axes: (k, *code_shape).
        axes_std: (k,).
    """
    flat = axes.flatten(1)
    explained = axes_std.double().square() @ flat.double().square() if flat.numel() else torch.zeros(std.numel())
    residual = (std.flatten().double().square() - explained).clamp_min(0).sqrt().float()
    return PrincipalAxes(mean.flatten(), flat, axes_std, residual, tuple(mean.shape))


class AxesFit:
    """Fits principal axes to codes that come in batches, by an incremental SVD (Ross et al. 2008, section 2).

    Twice as many directions as asked for are kept between the batches, so that almost nothing of the asked ones is
    lost; up to that number of codes or of units, the result is that of an SVD of all codes. Memory: 5 times the axes.

    Args:
        count: The largest number of axes; fewer are found where there are fewer units, or too few codes.
        numbers: The most numbers in the axes: codes of many units have at most `numbers` // units. None: as many as
            `count` axes have.
    """

    def __init__(self, count: int, numbers: int | None = NUMBERS) -> None:
        self.count, self.numbers, self.seen = count, numbers, 0
        self._waiting: list[Tensor] = []

    def add(self, codes: Tensor) -> None:
        """Adds codes (N, *code_shape)."""
        flat = codes.detach().flatten(1).nan_to_num(0, 0, 0)  # the mean and std tell of codes that are not finite
        if self.seen == 0:
            self._begin(codes)
        for block in flat.to(self._dtype).split(self._kept):
            self._waiting.append(block)
            if sum(map(len, self._waiting)) >= self._kept:
                self._merge()

    def axes(self) -> tuple[Tensor, Tensor]:
        """Returns the axes (k, *code_shape), orthonormal, and the standard deviation along each (k,), on the CPU.

        Directions in which the codes do not vary, within rounding, are left out.
        """
        self._merge()
        strengths = self._directions.square().sum(1).sqrt()
        rounding = torch.finfo(self._dtype).eps ** 0.5 * strengths[:1]  # of a Gram matrix
        count = min(self._asked, self.seen - 1, int((strengths > rounding).sum()))
        axes = _orthonormal((self._directions[:count] / strengths[:count, None]).cpu())
        # The sign of an axis is arbitrary: its largest number is made positive, so that all devices agree.
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        std = strengths[:count].cpu() / math.sqrt(self.seen)
        return axes.float().unflatten(1, self._shape).contiguous(), std.float()

    def _begin(self, codes: Tensor) -> None:
        self._shape, units = tuple(codes.shape[1:]), math.prod(codes.shape[1:])
        limit = self.count if self.numbers is None else min(self.count, self.numbers // units)
        self._asked = max(1, min(limit, units))
        self._kept = min(2 * self._asked, units)
        double = units <= _DOUBLE and has_float64(codes.device)
        self._dtype = torch.float64 if double else torch.float32
        self._mean = torch.zeros(units, dtype=self._dtype, device=codes.device)
        self._directions = torch.zeros(0, units, dtype=self._dtype, device=codes.device)

    def _merge(self) -> None:
        """Merges the waiting codes into the directions, which are the right singular vectors times the values."""
        if not self._waiting:
            return
        block = torch.cat(self._waiting)
        self._waiting = []
        count, mean = len(block), block.mean(0)
        shift = (mean - self._mean) * math.sqrt(self.seen * count / (self.seen + count))
        rows = torch.cat([self._directions, block.sub_(mean), shift[None]])
        self._mean += (mean - self._mean) * (count / (self.seen + count))
        self.seen += count
        _, vectors = torch.linalg.eigh(double(rows @ rows.T))
        self._directions = vectors.flip(1)[:, : self._kept].T.to(rows) @ rows


def _orthonormal(axes: Tensor) -> Tensor:
    """Removes what rounding left of the directions in one another (Cholesky QR)."""
    if len(axes) == 0:
        return axes
    factor = torch.linalg.cholesky(axes @ axes.T)
    return torch.linalg.solve_triangular(factor, axes, upper=False)
