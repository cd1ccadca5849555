"""The coordinates in which a code is searched: its units, or the principal axes of real codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dgn.data.size import typed
from dgn.errors import UserError
from dgn.prior import Prior
from dgn.prior.clamping import clamp
from dgn.prior.principal import PrincipalAxes
from dgn.runs.programs import command, override

FC6_RANGE = 11.9
"""Mean width of [0, mean + 3 sigma] over CaffeNet's fc6 units, from the ranges published with DGN-AM: the scale
on which the paper's steps and noise on fc6 codes are stated."""
_NEGLIGIBLE = 1e-4
"""The share of the variance that may be missing from the axes before the residual is searched too."""


class Coordinates(Protocol):
    """How parameters (N, ...) stand for codes (N, *code_shape); `bounds` and `unit` as for a parametrization."""

    @property
    def bounds(self) -> "tuple[Tensor, Tensor] | Ellipsoid": ...

    @property
    def unit(self) -> float: ...

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Returns a start of noise for each seed."""

    def codes(self, parameters: Tensor) -> Tensor:
        """Maps parameters to codes; differentiable."""

    def parameters(self, codes: Tensor) -> Tensor:
        """Returns the parameters that best represent codes."""


@dataclass(frozen=True)
class Ellipsoid:
    """Bounds of whitened parameters (N, sum of sizes): the norm of each part is at most its radius."""

    sizes: tuple[int, ...]
    radii: tuple[float, ...]

    def clip(self, parameters: Tensor) -> None:
        """Moves each part that is longer than its radius straight back to it, in place."""
        for part, radius in zip(parameters.split(self.sizes, 1), self.radii, strict=True):
            part.mul_((radius / part.norm(dim=1, keepdim=True).clamp_min(1e-20)).clamp_max(1))


class UnitCoordinates:
    """The code itself, with bounds for each unit, as in DGN-AM.

    Args:
        prior: Whose codes are searched.
        sigmas: Units are clipped to the prior's bounds at this many standard deviations.
    """

    def __init__(self, prior: Prior, sigmas: float) -> None:
        self.prior = prior
        self.bounds = prior.bounds(sigmas)
        low, high = self.bounds
        width = float((high - low)[high > low].mean()) if bool((high > low).any()) else 1.0
        # Codes that are not rectified span mean -+ 3 sigma: twice the width of the part above the mean.
        self.unit = (width if prior.statistics.rectified else width / 2) / FC6_RANGE

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return self.unit * _normal(seeds, self.prior.code_shape).to(self.prior.device)

    def codes(self, parameters: Tensor) -> Tensor:
        return parameters

    def parameters(self, codes: Tensor) -> Tensor:
        return codes


class PrincipalCoordinates:
    """Whitened coordinates along the principal axes of real codes, y = mean + sum_i z_i std_i axis_i + residual * r.

    z and r are standard normal over real images, as far as their mean and covariance tell, so that a step of one length
    is as natural in any direction of any code. The bounds are ellipsoids around the mean of real codes: |z| and |r| are
    at most the radius that holds as many normal vectors as an interval of `sigmas` standard deviations holds normal
    numbers (the chi distribution; 3 for one axis, 10.0 for 64). Rectified codes are clamped at 0.

    Args:
        prior: Whose codes are searched.
        subspace: The number of axes, without a residual; or "all": all axes of the prior, and the residual r of each
            unit, unless the axes hold all of the variance.
        sigmas: Size of the bounds.

    Raises:
        UserError: If the prior has no principal axes, or `subspace` is no number of axes.
    """

    unit = 3 / FC6_RANGE

    def __init__(self, prior: Prior, subspace: int | str, sigmas: float) -> None:
        axes = principal_axes_of(prior)
        if subspace != "all" and not (isinstance(subspace, int) and 1 <= subspace <= axes.count):
            raise UserError(
                f"method.parametrization.subspace={subspace}: give a number of axes from 1 to {axes.count}, all, or "
                "null"
            )
        self.prior = prior
        self.axes = axes if subspace == "all" else axes.strongest(int(subspace))
        with_residual = subspace == "all" and axes.explained < 1 - _NEGLIGIBLE
        self.residual = self.axes.residual if with_residual else None
        sizes = [self.axes.count] + ([len(self.axes.residual)] if with_residual else [])
        from scipy import stats  # here, as importing it takes a second

        within = stats.chi2.cdf(sigmas**2, 1)
        # Units whose code never varies have no residual, and are not counted.
        freedoms = [self.axes.count] + ([int((self.axes.residual > 0).sum())] if with_residual else [])
        self.bounds = Ellipsoid(tuple(sizes), tuple(float(stats.chi.ppf(within, n)) for n in freedoms))

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return _normal(seeds, (sum(self.bounds.sizes),)).to(self.prior.device)

    def codes(self, parameters: Tensor) -> Tensor:
        codes = self.axes.lift(parameters[:, : self.axes.count])
        if self.residual is not None:
            rest = parameters[:, self.axes.count :] * self.residual
            codes = codes + rest.unflatten(1, self.axes.code_shape)
        return clamp(codes, 0, None) if self.prior.statistics.rectified else codes

    def parameters(self, codes: Tensor) -> Tensor:
        coordinates = self.axes.project(codes)
        if self.residual is None:
            return coordinates
        rest = (codes - self.axes.lift(coordinates)).flatten(1) / self.residual.clamp_min(1e-20)
        return torch.cat([coordinates, torch.where(self.residual > 0, rest, 0)], 1)


def principal_axes_of(prior: Prior) -> PrincipalAxes:
    """Returns the principal axes of a prior. Raises UserError if it has none."""
    axes = prior.principal
    if axes is not None and axes.count > 0:
        return axes
    if prior.noise is not None:
        raise UserError(
            f"the codes of {prior.source} are noise, of which no direction is stronger than another; give "
            "method.parametrization.subspace=null"
        )
    words, images = ["task=statistics", override("prior", prior.source)], "the images that it was trained on"
    if not prior.about.get("data"):
        words += ["data=image_folder", "data.root=FOLDER", f"data.image_size={typed(prior.image_size)}"]
        images = "the images in FOLDER"
    raise UserError(
        f"{prior.source} holds no principal axes of its codes, which this method needs; `{command('train', *words)}` "
        f"writes a prior that does, from {images}"
    )


def _normal(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Normal numbers (N, *shape); those of a seed depend on that seed alone."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
