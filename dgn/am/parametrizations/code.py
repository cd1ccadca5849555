"""The code of a prior as what is optimized: DGN-AM's parametrization."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.setting import Setting
from dgn.am.starts import Starts

FC6_RANGE = 11.9
"""Mean width of [0, mean + 3 sigma] over CaffeNet's fc6 units, from the ranges published with DGN-AM: the scale
on which the paper's steps and noise on fc6 codes are stated."""


class Code:
    """The code of a prior (Nguyen et al. 2016): images are G(y).

    The setting's `begin` chooses the start. "noise": y ~ N(0, 1) on the scale of CaffeNet's fc6, as in the published
    search; "sample": each unit drawn from its distribution over real images; or images, whose codes are the start.

    Args:
        setting: the target and the prior.
        sigmas: units are clipped to the prior's bounds at this many standard deviations.
    """

    searches_codes = True  # of a prior: the comparison has a column of this method for each prior

    def __init__(self, setting: Setting, sigmas: float = 3.0) -> None:
        self.prior, self.begin = setting.codes(), setting.begin
        self.bounds = self.prior.bounds(sigmas)
        low, high = self.bounds
        width = float((high - low)[high > low].mean()) if bool((high > low).any()) else 1.0
        # Codes that are not rectified span mean -+ 3 sigma: twice the width of the part above the mean.
        self.unit = (width if self.prior.statistics.rectified else width / 2) / FC6_RANGE

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        if isinstance(self.begin, Starts):
            return self.begin.select(self.begin.codes, seeds, objectives).to(self.prior.device)
        if isinstance(self.begin, Tensor):
            codes = self.encode(self.begin.to(self.prior.device))
            return codes[[s % len(codes) for s in seeds]].contiguous()
        if self.begin == "sample":
            return torch.cat([self.prior.sample(1, seed) for seed in seeds])
        noise = [torch.randn(self.prior.code_shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return self.unit * torch.stack(noise).to(self.prior.device)

    def images(self, parameters: Tensor) -> Tensor:
        return self.prior.decode(parameters)

    def encode(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)
