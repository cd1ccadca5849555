"""The code of a prior as what is optimized: DGN-AM's parametrization."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.parametrizations.coordinates import Coordinates, PrincipalCoordinates, UnitCoordinates
from dgn.am.setting import Setting
from dgn.am.starts import Starts


class Code:
    """The code of a prior (Nguyen et al. 2016): images are G(y).

    The setting's `begin` chooses the start. "noise": y ~ N(0, 1) on the scale of CaffeNet's fc6, as in the published
    search, or, along principal axes, the normal distribution with the mean and the covariance of real codes; "sample":
    a code drawn from the prior's code model, or without one each unit from its distribution over real images; or
    images, whose codes are the start.

    Args:
        setting: the target and the prior.
        sigmas: units are clipped to the prior's bounds at this many standard deviations; along principal axes, the
            size of the ellipsoid (`PrincipalCoordinates`).
        subspace: None: the code is searched unit by unit. A number k: only along its k strongest principal axes;
            "all": along all of them, and the residual of every unit.
    """

    searches_codes = True  # of a prior: the comparison has a column of this method for each prior

    def __init__(self, setting: Setting, sigmas: float = 3.0, subspace: int | str | None = None) -> None:
        self.prior, self.begin = setting.codes(), setting.begin
        self.coordinates: Coordinates = (
            UnitCoordinates(self.prior, sigmas)
            if subspace is None
            else PrincipalCoordinates(self.prior, subspace, sigmas)
        )
        self.bounds, self.unit = self.coordinates.bounds, self.coordinates.unit

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        if isinstance(self.begin, Starts):
            codes = self.begin.select(self.begin.codes, seeds, objectives).to(self.prior.device)
            return self.coordinates.parameters(codes)
        if isinstance(self.begin, Tensor):
            parameters = self.encode(self.begin.to(self.prior.device))
            return parameters[[s % len(parameters) for s in seeds]].contiguous()
        if self.begin == "sample":
            return self.coordinates.parameters(torch.cat([self.prior.sample(1, seed) for seed in seeds]))
        return self.coordinates.noise(seeds)

    def images(self, parameters: Tensor) -> Tensor:
        return self.prior.decode(self.coordinates.codes(parameters))

    def encode(self, images: Tensor) -> Tensor:
        return self.coordinates.parameters(self.prior.encode(images))
