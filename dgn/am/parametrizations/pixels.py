"""Pixels as what is optimized: what every method before DGN-AM searched."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.am.setting import Setting
from dgn.errors import UserError


class Pixels:
    """Pixels, as the difference from the image that the target sees as zero (its training mean).

    This is the x of Simonyan et al. 2013, Yosinski et al. 2015 and others. Bounds keep images within [0, 1]. `unit`
    is 1/255, as these papers state steps and noise on a scale of 0..255.

    Args:
        setting: the target, the image size and the real images.
        noise: standard deviation of the start, on 0..255.
        base: what the noise is added to: "zero"; "grey" followed by a value of 0..255, as in "grey 175"; or "mean",
            the mean of the `nearest` real images that excite the objective most. "mean" generalizes MFV's mean of a
            cluster of training images (Nguyen et al. 2016) to any unit.
        scale: factor of the image's sides relative to the setting's size.
        nearest: how many real images are averaged for "mean".
        looked_at: how many real images are ranked for "mean".
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
        self.zero = setting.target.input_space.zero(setting.channels).to(setting.device)
        self.bounds = (-self.zero, 1 - self.zero)
        self._means: dict[Objective, Tensor] = {}

    @property
    def own_start(self) -> str:
        """What start=noise is here: "noise", or "real" if the noise is added to the mean of real images."""
        return "real" if self.base == "mean" else "noise"

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        images = self.setting.first_images(seeds, self.size, objectives)
        if images is not None:
            return self.encode(images)
        shape = (self.setting.channels, *self.size)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        return self._bases(objectives, len(seeds)) + self.noise * self.unit * noise.to(self.setting.device)

    def images(self, parameters: Tensor) -> Tensor:
        return (self.zero + parameters).clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        images = self.setting.checked(images)
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bicubic", align_corners=False).clamp(0, 1)
        return images - self.zero

    def _bases(self, objectives: Sequence[Objective], count: int) -> Tensor:
        if self.base == "mean":
            self._measure([o for o in dict.fromkeys(objectives) if o not in self._means])
            return torch.cat([self._means[o] for o in objectives]).to(self.setting.device)
        zero = torch.zeros(count, self.setting.channels, *self.size, device=self.setting.device)
        return zero if self.base == "zero" else zero + float(self.base.split()[1]) / 255 - self.zero

    def _measure(self, objectives: Sequence[Objective]) -> None:
        if not objectives:
            return
        why = "the mean image that this method starts from"
        values = objective_values(self.setting.target, objectives, self.setting.real_images(self.looked_at, why))
        best = values.topk(min(self.nearest, len(values)), dim=0).indices
        sums = torch.zeros(len(objectives), self.setting.channels, *self.size)
        seen = 0
        for batch in self.setting.real_images(self.looked_at, why, self.size):
            chosen = torch.nn.functional.one_hot(best.T, len(values))[:, :, seen : seen + len(batch)].sum(1).float()
            sums += torch.einsum("on,nchw->ochw", chosen, batch.cpu().float())
            seen += len(batch)
        for objective, total in zip(objectives, sums, strict=True):
            self._means[objective] = self.encode((total / len(best)).unsqueeze(0).to(self.setting.device))
