"""Regularizers: what a step does in addition to following the gradient.

Each has one or more of four methods (the protocols `View`, `Loss`, `GradientChange` and `Projection` of
`dgn.am.step`), given the `Step`:

    view(images, step)        what the target is shown instead of the images (dgn.am.regularizers.views)
    loss(step)                (N,), subtracted from the objective
    gradient(gradient, step)  returns the changed gradient, (N, ...)
    project(step)             changes step.parameters in place after the step

Regularizers of pixels work with any parametrization: on the pixels if these are optimized, else on the images
that the parameters stand for, and back (`Step.pixels`, `Step.repaint`).

Losses and gradients act in the order in which a method lists them: a loss after `UnitGradient` is weighed against
a gradient of known size, one before it against the objective itself.
"""

from dgn.am.regularizers.accentuation import StayNear, Within
from dgn.am.regularizers.diffusion import Guidance, ReverseStep
from dgn.am.regularizers.parameters import Clip, Decay, L2Loss, UnitGradient
from dgn.am.regularizers.pixels import AlphaNorm, Blur, NormBound, SmallContribution, SmallNorm, blur_matrix
from dgn.am.regularizers.realism import Realism, autoencoder_realism, encoder_realism
from dgn.am.regularizers.total_variation import Denoise, TotalVariation, denoise_bregman
from dgn.am.regularizers.views import CentredWindow, Crops, Jitter, Noise, Rotate, Scale

__all__ = [
    "AlphaNorm",
    "Blur",
    "CentredWindow",
    "Clip",
    "Crops",
    "Decay",
    "Denoise",
    "Guidance",
    "Jitter",
    "L2Loss",
    "Noise",
    "NormBound",
    "Realism",
    "ReverseStep",
    "Rotate",
    "Scale",
    "SmallContribution",
    "SmallNorm",
    "StayNear",
    "TotalVariation",
    "UnitGradient",
    "Within",
    "autoencoder_realism",
    "blur_matrix",
    "denoise_bregman",
    "encoder_realism",
]
