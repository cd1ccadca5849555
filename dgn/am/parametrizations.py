"""Parametrizations: what is optimized, and the images that it stands for.

A parametrization says where a search starts and how its parameters become images in image space. The code of a
prior is DGN-AM's; pixels are what every earlier method searched; dgn.am.fourier has spectra. Each is made for a
`Setting`.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.evaluation import activations_of
from dgn.am.objectives import Objective
from dgn.am.setting import Setting, Starts
from dgn.errors import UserError

FC6_RANGE = 11.9
"""Mean width of [0, mean + 3 sigma] over CaffeNet's fc6 units, from the ranges published with DGN-AM: the scale
on which the paper's steps and noise on fc6 codes are stated."""


class Parametrization(Protocol):
    """What a search optimizes. bounds: (low, high) of every parameter, or None. unit: the size of the paper's unit
    step here."""

    @property
    def bounds(self) -> tuple[Tensor, Tensor] | None: ...

    @property
    def unit(self) -> float: ...

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        """One start for each seed: (N, ...); the same seed starts at the same place whatever the others are.
        objectives: one a seed, for starts that depend on what is searched."""

    def images(self, parameters: Tensor) -> Tensor:
        """(N, ...) -> (N, 3, H, W) in image space, in [0, 1], differentiable."""

    def of(self, images: Tensor) -> Tensor:
        """The parameters that stand for images (N, 3, h, w) of any size, as nearly as can be."""


class Code:
    """The code of a prior (Nguyen et al. 2016): images are G(y).

    sigmas: units are clipped to the prior's bounds at so many standard deviations. The setting's `begin`: "noise":
    y ~ N(0, 1) on the scale of CaffeNet's fc6, as the published search; "sample": units drawn from their own
    distribution over real images; or images, whose codes are the start.
    """

    searches_codes = True  # of a prior: such a method has a column for each prior

    def __init__(self, setting: Setting, sigmas: float = 3.0) -> None:
        self.prior, self.begin = setting.codes(), setting.begin
        self.bounds = self.prior.bounds(sigmas)
        low, high = self.bounds
        width = float((high - low)[high > low].mean()) if bool((high > low).any()) else 1.0
        # Codes that are not rectified span mean -+ 3 sigma: twice the width of what lies above the mean.
        self.unit = (width if self.prior.statistics.rectified else width / 2) / FC6_RANGE

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        if isinstance(self.begin, Starts):
            return self.begin.of(self.begin.codes, seeds, objectives).to(self.prior.device)
        if isinstance(self.begin, Tensor):
            codes = self.of(self.begin.to(self.prior.device))
            return codes[[s % len(codes) for s in seeds]].contiguous()
        if self.begin == "sample":
            return torch.cat([self.prior.sample(1, seed) for seed in seeds])
        noise = [torch.randn(self.prior.code_shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return self.unit * torch.stack(noise).to(self.prior.device)

    def images(self, parameters: Tensor) -> Tensor:
        return self.prior.decode(parameters)

    def of(self, images: Tensor) -> Tensor:
        return self.prior.encode(images)


class Pixels:
    """Pixels themselves, as what they differ by from the image that the target sees as zero (its training mean):
    the x of Simonyan et al. 2013, Yosinski et al. 2015 and others. Bounds keep images within [0, 1].

    unit: 1/255, as these papers state steps and noise on 0..255.
    noise: standard deviation of the start on 0..255. base: what the noise is added to: "zero", "grey" followed by a
    value of 0..255 as in "grey 175", or "mean": the mean of the `nearest` real images that excite the objective
    most, which is how MFV's mean of a cluster of training images (Nguyen et al. 2016) reads for any unit.
    scale: of the sides, against the setting's size. looked_at: how many real images are ranked for "mean".
    """

    unit = 1 / 255

    def __init__(
        self,
        setting: Setting,
        noise: float = 0.0,
        base: str = "zero",
        scale: float = 1.0,
        nearest: int = 15,
        looked_at: int = 1000,
    ) -> None:
        word, _, grey = base.partition(" ")
        if word not in ("zero", "grey", "mean") or (word == "grey") != grey.replace(".", "", 1).isdigit():
            raise UserError(
                f"method.parametrization.base={base!r}: give zero, mean, or grey and a number, as in grey 175"
            )
        self.setting, self.noise, self.base = setting, noise, base
        self.nearest, self.looked_at = nearest, looked_at
        self.size = (round(setting.size[0] * scale), round(setting.size[1] * scale))
        self.zero = setting.target.input_space.leave(torch.zeros(1, 3, 1, 1, device=setting.device)).clamp(0, 1)
        self.bounds = (-self.zero, 1 - self.zero)
        self._means: dict[Objective, Tensor] = {}

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        images = self.setting.first_images(seeds, self.size, objectives)
        if images is not None:
            return self.of(images)
        shape = (3, *self.size)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        return self._bases(objectives, len(seeds)) + self.noise * self.unit * noise.to(self.setting.device)

    def images(self, parameters: Tensor) -> Tensor:
        return (self.zero + parameters).clamp(0, 1)

    def of(self, images: Tensor) -> Tensor:
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bicubic", align_corners=False).clamp(0, 1)
        return images - self.zero

    def _bases(self, objectives: Sequence[Objective], count: int) -> Tensor:
        if self.base == "mean":
            self._measure([o for o in dict.fromkeys(objectives) if o not in self._means])
            return torch.cat([self._means[o] for o in objectives]).to(self.setting.device)
        zero = torch.zeros(count, 3, *self.size, device=self.setting.device)
        return zero if self.base == "zero" else zero + float(self.base.split()[1]) / 255 - self.zero

    def _measure(self, objectives: Sequence[Objective]) -> None:
        if not objectives:
            return
        why = "the mean image that this method starts from"
        values = activations_of(self.setting.target, objectives, self.setting.real_images(self.looked_at, why))
        best = values.topk(min(self.nearest, len(values)), dim=0).indices
        sums = torch.zeros(len(objectives), 3, *self.size)
        seen = 0
        for batch in self.setting.real_images(self.looked_at, why, self.size):
            chosen = torch.nn.functional.one_hot(best.T, len(values))[:, :, seen : seen + len(batch)].sum(1).float()
            sums += torch.einsum("on,nchw->ochw", chosen, batch.cpu().float())
            seen += len(batch)
        for objective, total in zip(objectives, sums, strict=True):
            self._means[objective] = self.of((total / len(best)).unsqueeze(0).to(self.setting.device))
