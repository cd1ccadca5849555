"""Plug & Play Generative Networks (Nguyen et al. 2017): codes are also drawn towards the codes of real images.

Their sampler moves a code by

    dy = epsilon1 R(y) + epsilon2 d log p(class | G(y)) / dy + N(0, epsilon3^2)

where R points from y to a more likely code. The classes here change the gradient to this sum; an update takes the step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgn.am.setting import Setting
from dgn.am.step import Step
from dgn.errors import UserError
from dgn.runs.programs import command


class Realism:
    """epsilon1 R(y) + epsilon2 gradient + N(0, epsilon3^2), with codes on the scale of CaffeNet's fc6, as published.

    Args:
        residual: R; maps codes (N, *code_shape) and their images (N, 3, H, W) to (N, *code_shape).
        epsilon1: the weight of R.
        epsilon2: the weight of the objective's gradient.
        epsilon3: the standard deviation of the noise.
    """

    def __init__(
        self,
        residual: Callable[[Tensor, Tensor], Tensor],
        epsilon1: float = 1e-5,
        epsilon2: float = 1.0,
        epsilon3: float = 1e-17,
    ) -> None:
        self.residual = residual
        self.epsilon1, self.epsilon2, self.epsilon3 = epsilon1, epsilon2, epsilon3

    def gradient(self, gradient: Tensor, step: Step) -> Tensor:
        if not hasattr(step.parametrization, "prior"):
            raise UserError(
                "the regularizer Realism draws codes towards real ones, and this method optimizes no codes; take "
                "dgn.am.parametrizations.code.Code, or set the regularizer to null"
            )
        if step.parameters.shape[1:] != step.parametrization.prior.code_shape:
            raise UserError(
                "the regularizer Realism draws the units of codes; give method.parametrization.subspace=null"
            )
        unit = step.parametrization.unit
        with torch.no_grad():
            residual = self.residual(step.parameters, step.images) / unit
        # A code measured in units has a gradient `unit` times as large; the update multiplies by unit again.
        total = self.epsilon1 * residual + self.epsilon2 * gradient * unit
        if self.epsilon3:
            total = total + self.epsilon3 * step.draws.normal(*gradient.shape[1:])
        return total / unit


def encoder_realism(setting: Setting, **epsilons: float) -> Realism:
    """The noiseless joint variant: R(y) = E(G(y)) - y, with the prior's encoder and no additional network."""
    prior = setting.codes()
    return Realism(lambda codes, images: prior.encode(images) - codes, **epsilons)


def autoencoder_realism(setting: Setting, **epsilons: float) -> Realism:
    """R(y) = DAE(y) - y, with a denoising autoencoder of codes, trained by `python train.py task=code_prior`.

    Raises:
        UserError: if the setting has no prior over codes, or one that was fitted to other codes.
    """
    if setting.code_prior is None:
        raise UserError(
            f"this method needs a prior over codes; fit one with `{command('train', 'task=code_prior', 'prior=...')}`"
        )
    code_prior = setting.code_prior()
    code_prior.check(setting.codes())
    code_prior.to(setting.codes().device)
    return Realism(lambda codes, images: code_prior.denoise(codes) - codes, **epsilons)
