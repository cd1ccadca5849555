"""Guided diffusion over codes: the code model's reverse steps, whose estimates move along the objective's gradient.

The code model draws a code from noise by reverse steps (`dgn.prior.code_model`). If at each step the estimate z of the
clean code is moved by the posterior covariance times the gradient of s f(z), codes are drawn from p(z) exp(s f(z))
instead: exactly, if p is normal and f linear. `Guidance` gives this move, which the update `Ascent` takes;
`ReverseStep` continues with the next noise level. Both need the parametrization `NoisyCode`.
"""

from typing import Any

import torch
from torch import Tensor

from dgn.am.parametrizations.noisy_code import NoisyCode
from dgn.am.step import Step
from dgn.errors import UserError
from dgn.prior.code_model import reverse_step


class Guidance:
    """Turns the gradient of the objective into the move of the clean estimate.

    For a gradient g the move is

        strength * C g / d,    d = max(sqrt(g' V g), saturation * d0)

    with V the covariance of real codes, and C that of the code given its noisy coordinates x at noise level sigma. The
    root is the objective's standard deviation over real codes, to first order. So `strength` is in standard
    deviations, whatever the objective's scale: a linear objective is raised by that many. Where an objective saturates,
    as the log-probability of a class does near 0, its slope vanishes. Divided by the root alone, the move would stay as
    large as before; with the lower bound it ends, and the seeds keep what tells them apart. d0 is the objective's
    standard deviation over the draws of the code model where searches start at these (start=sample), so that one that
    starts saturated stays near its start; else the largest d of the search so far.

    Args:
        strength: s. 0: none, the code model's own samples.
        saturation: The share of d0 below which the objective counts as saturated. 0: never.
        through: "estimate": C is that of a normal distribution, V sigma^2 / (V + sigma^2), and the gradient stays on
            the clean estimate (MPGD, He et al. 2024). "denoiser": C = sigma^2 dD(x)/dx, and the gradient passes through
            the denoiser (DPS, Chung et al. 2023).
        other_target: The factor of the strength where the target is not the network that the prior inverts. Codes are
            that network's own features, along which its gradient stays among images that G paints; another network's
            leaves them sooner.

    Raises:
        UserError: if `through` is unknown, or a number is out of its range.
    """

    def __init__(
        self,
        strength: float = 30.0,
        through: str = "estimate",
        saturation: float = 0.15,
        other_target: float = 1.0,
    ) -> None:
        if through not in ("estimate", "denoiser"):
            raise UserError(f"method.regularizers.guidance.through={through}: give estimate (MPGD) or denoiser (DPS)")
        if not 0 <= saturation <= 1:
            raise UserError(f"method.regularizers.guidance.saturation={saturation}: give a number from 0 to 1")
        if not other_target >= 0:
            raise UserError(f"method.regularizers.guidance.other_target={other_target}: give a number from 0")
        self.strength, self.through, self.saturation = strength, through, saturation
        self.other_target = other_target
        self._reference: Tensor | None = None

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        state = _state_of(step)
        slope = gradient[:, 1]
        sigma = state.levels(step.steps)[step.i].to(slope).expand(len(slope))
        spread = self._bounded((slope * state.model.std).norm(dim=1, keepdim=True), state.spread, first=step.i == 0)
        if self.through == "denoiser":
            move = sigma[:, None].square() * self._through_denoiser(state, step.parameters[:, 0], sigma, slope)
        else:
            move = state.model.posterior_variance(sigma) * slope
        moves = torch.zeros_like(gradient)
        strength = self.strength if state.targets_encoder else self.strength * self.other_target
        moves[:, 1] = strength * move / spread
        return moves

    def _bounded(self, spread: Tensor, among_draws: Tensor | None, first: bool) -> Tensor:
        if among_draws is not None:
            reference = among_draws
        elif first or self._reference is None:
            reference = self._reference = spread
        else:
            reference = self._reference = torch.maximum(self._reference, spread)
        return torch.maximum(spread, self.saturation * reference).clamp_min(1e-20)

    @staticmethod
    def _through_denoiser(state: NoisyCode, noisy: Tensor, sigma: Tensor, slope: Tensor) -> Tensor:
        with torch.enable_grad():
            noisy = noisy.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(state.model(noisy, sigma), noisy, slope)
        return gradient


class ReverseStep:
    """Goes from the clean estimate to the next lower noise level, and estimates again (DDIM, Song et al. 2021).

    Where the next step is at the same level (`NoisyCode.travel`), noise is then added up to that level.

    Args:
        fresh_noise: whether the step adds as much noise as ancestral sampling does (eta = 1), which corrects earlier
            steps; else it is deterministic (eta = 0), and the search keeps what its start lacks of the objective.
    """

    def __init__(self, fresh_noise: bool = True) -> None:
        self.fresh_noise = fresh_noise

    def project(self, step: Step) -> None:
        state = _state_of(step)
        noisy, clean, _ = (part.clone() for part in step.parameters.unbind(1))
        levels = state.levels(step.steps)
        here, there = levels[step.i : step.i + 2].tolist()
        lower = float(levels[levels < here].max())
        fresh = step.draws.normal(state.model.count) if self.fresh_noise else None
        ahead = reverse_step(noisy, clean, here, lower, fresh)
        if there > lower:
            ahead = ahead + (there**2 - lower**2) ** 0.5 * step.draws.normal(state.model.count)
        step.parameters[:, 0] = ahead
        step.parameters[:, 1] = state.model(ahead, ahead.new_full((len(ahead),), there)) if there > 0 else ahead
        step.parameters[:, 2] = state.deviations(there, step.draws)


def _state_of(step: Step) -> NoisyCode:
    parametrization: Any = step.parametrization
    if not isinstance(parametrization, NoisyCode):
        raise UserError(
            "guided diffusion needs a code with its noise; take dgn.am.parametrizations.NoisyCode as the "
            "parametrization, or set the regularizers `guidance` and `reverse` to null"
        )
    return parametrization
