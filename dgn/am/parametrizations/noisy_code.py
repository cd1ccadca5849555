"""The state of a reverse diffusion over codes as what is optimized: from noise to a code of the code model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.candidates import Candidates
from dgn.am.objectives.algebra import Objective
from dgn.am.parametrizations.coordinates import UnitCoordinates
from dgn.am.setting import Setting
from dgn.am.starts import Starts
from dgn.am.step import Draws
from dgn.errors import UserError
from dgn.prior.code_model import to_codes, to_coordinates
from dgn.prior.missing_code_model import no_code_model


class NoisyCode:
    """Noisy coordinates of a code and their estimate without noise (`dgn.prior.code_model`).

    Parameters are (N, 3, k): the noisy coordinates x, the estimate D(x), and a deviation e from it, which ends at 0.
    Images are G(D(x) + e). The regularizer `ReverseStep` carries all three to the next lower noise level.

    The estimate is the mean of what the code can still be. An objective there is not the mean objective: at high noise
    the means of all seeds are alike, and its slope is far too steep. Evaluated at D(x) + e, e a draw from the spread of
    what the code can still be, its gradient is that of the mean objective, estimated from one draw (Song et al. 2023,
    loss-guided diffusion, eq. 12), and differs between the seeds.

    The setting's `begin` chooses the start. "noise": noise of the highest level. "sample": of `candidates` codes that
    the code model draws, one that excites the objective (`dgn.am.candidates`), with noise of the level `from_sample`.
    Images: their code with noise of the level `from_image` (SDEdit, Meng et al. 2022).

    Args:
        setting: the target and the prior, which has a code model.
        from_image: the noise level at which searches start from images, as a fraction of the highest.
        from_sample: the same for searches that start at a candidate.
        candidates: the number of codes that are drawn for start=sample.
        travel: the number of steps at each noise level; all but the last return to it, by adding noise again (time
            travel, Yu et al. 2023).
        deviation: the standard deviation of e, in that of a normal distribution of codes given x. 0: none.

    Raises:
        UserError: if the prior has no code model, or for a value out of its range.
    """

    searches_codes = True
    bounds = None

    def __init__(
        self,
        setting: Setting,
        from_image: float = 0.3,
        travel: int = 1,
        deviation: float = 1.0,
        from_sample: float = 0.05,
        candidates: int = 500,
    ) -> None:
        if travel < 1:
            raise UserError(f"method.parametrization.travel={travel}: give a number of steps, at least 1")
        if candidates < 1:
            raise UserError(
                f"method.parametrization.candidates={candidates}: give a number of draws, at least 1, or start=noise"
            )
        for key, level in (("from_image", from_image), ("from_sample", from_sample)):
            if not 0 < level <= 1:
                raise UserError(f"method.parametrization.{key}={level}: give a fraction above 0, at most 1")
        prior = setting.codes()
        if prior.code_model is None:
            raise UserError(f"this method draws from a code model, and {no_code_model(prior)}")
        self.model, self.axes = prior.code_model, prior.code_axes
        self._prior, self._begin = prior, setting.begin
        self.targets_encoder = prior.encoder_is(setting.target)
        """Whether the target is the network that the prior inverts."""
        self.travel, self.deviation = travel, deviation
        start = setting.begin if isinstance(setting.begin, str) else "image"
        self.candidates = Candidates(prior, setting.target, candidates) if start == "sample" else None
        """The prior's draws, if searches start at these."""
        self.highest = {"noise": 1.0, "sample": from_sample, "image": from_image}[start]
        self.unit = UnitCoordinates(prior, sigmas=3).unit
        self.spread: Tensor | None = None
        """The standard deviation of each search's objective over the candidates, (N, 1), from `start` on."""

    def levels(self, steps: int) -> Tensor:
        """Returns the noise level of each of `steps` steps, followed by 0: (steps + 1,), on the CPU."""
        distinct = self.model.levels(-(-steps // self.travel), self.highest)
        return torch.cat([distinct[:-1].repeat_interleave(self.travel)[-steps:], distinct[-1:]])

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        coordinates = self._first_coordinates(seeds, objectives)
        if coordinates is None:
            noisy = self.model.noise([torch.Generator().manual_seed(seed) for seed in seeds])
        else:
            noise = Draws(seeds, coordinates.device).normal(self.model.count)
            noisy = coordinates + self._highest_level * noise
        with torch.no_grad():
            estimate = self.model(noisy, noisy.new_full((len(noisy),), self._highest_level))
        return torch.stack([noisy, estimate, torch.zeros_like(noisy)], 1)

    def images(self, parameters: Tensor) -> Tensor:
        coordinates = parameters[:, 1] + parameters[:, 2]
        return self._prior.decode(to_codes(coordinates, self.axes, self._prior.statistics.rectified))

    def encode(self, images: Tensor) -> Tensor:
        coordinates = to_coordinates(self._prior.encode(images), self.axes)
        return torch.stack([coordinates, coordinates, torch.zeros_like(coordinates)], 1)

    def deviations(self, noise: float, draws: Draws) -> Tensor:
        """Draws e (N, k) for estimates at a noise level; 0 at the level 0."""
        spread = self.model.posterior_variance(self.model.std.new_tensor([noise])).sqrt()
        return self.deviation * spread * draws.normal(self.model.count)

    @property
    def _highest_level(self) -> float:
        return float(self.levels(1)[0])

    def _first_coordinates(self, seeds: Sequence[int], objectives: Sequence[Objective]) -> Tensor | None:
        if self.candidates is not None:
            chosen = self.candidates.choose(seeds, objectives)
            self.spread = self.candidates.spread(objectives).to(chosen) if objectives else None
            return chosen
        if isinstance(self._begin, Starts):
            codes = self._begin.select(self._begin.codes, seeds, objectives).to(self._prior.device)
            return to_coordinates(codes, self.axes)
        if isinstance(self._begin, Tensor):
            codes = self._prior.encode(self._begin.to(self._prior.device))
            return to_coordinates(codes[[s % len(codes) for s in seeds]], self.axes)
        return None
