"""Parametrizations: what is optimized, and the images that it stands for.

A parametrization says where a search starts and how its parameters become images in image space. The code of a
prior is DGN-AM's; pixels are what every earlier method searched.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.prior import Prior

FC6_RANGE = 11.9
"""Mean width of [0, mean + 3 sigma] over CaffeNet's fc6 units, from the ranges published with DGN-AM: the scale
on which the paper's steps and noise on fc6 codes are stated."""


class Parametrization(Protocol):
    """What a search optimizes. bounds: (low, high) of every parameter, or None. unit: the size of the paper's unit
    step here."""

    bounds: tuple[Tensor, Tensor] | None
    unit: float

    def start(self, seeds: Sequence[int]) -> Tensor:
        """One start for each seed: (N, ...); the same seed starts at the same place whatever the others are."""

    def images(self, parameters: Tensor) -> Tensor:
        """(N, ...) -> (N, 3, H, W) in image space, in [0, 1], differentiable."""


class Code:
    """The code of a prior (Nguyen et al. 2016): images are G(y).

    prior: the prior. sigmas: units are clipped to the prior's bounds at so many standard deviations.
    begin: "noise": y ~ N(0, 1) on the scale of CaffeNet's fc6, as the published search; "sample": units drawn from
    their own distribution over real images; or images (M, 3, H, W) whose codes are the start, in turn.
    """

    def __init__(self, prior: Prior, sigmas: float = 3.0, begin: str | Tensor = "noise") -> None:
        if isinstance(begin, str) and begin not in ("noise", "sample"):
            raise UserError(f"start={begin!r}: give noise, sample, or the path of an image")
        self.prior, self.begin = prior, begin
        self.bounds = prior.bounds(sigmas)
        low, high = self.bounds
        width = float((high - low)[high > low].mean()) if bool((high > low).any()) else 1.0
        # Codes that are not rectified span mean -+ 3 sigma: twice the width of what lies above the mean.
        self.unit = (width if prior.statistics.rectified else width / 2) / FC6_RANGE

    def start(self, seeds: Sequence[int]) -> Tensor:
        if isinstance(self.begin, Tensor):
            codes = self.prior.encode(self.begin.to(self.prior.device))
            return codes[torch.arange(len(seeds)) % len(codes)].contiguous()
        if self.begin == "sample":
            return torch.cat([self.prior.sample(1, seed) for seed in seeds])
        noise = [torch.randn(self.prior.code_shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return self.unit * torch.stack(noise).to(self.prior.device)

    def images(self, parameters: Tensor) -> Tensor:
        return self.prior.decode(parameters)
