"""Parametrizations: what is optimized, and the images that it stands for.

A parametrization says where a search starts and how its parameters become images in image space
(`dgn.am.step.Parametrization`). The code of a prior is DGN-AM's; pixels are what every earlier method searched; spectra
are Lucid's. Each is made for a `Setting`.
"""

from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.coordinates import FC6_RANGE
from dgn.am.parametrizations.fourier import Fourier, Phase
from dgn.am.parametrizations.noisy_code import NoisyCode
from dgn.am.parametrizations.pixels import Pixels

__all__ = [
    "FC6_RANGE",
    "Code",
    "Fourier",
    "NoisyCode",
    "Phase",
    "Pixels",
]
