"""Generator priors for any image network, and what its neurons prefer to see through them.

from dgn import Prior, channel, maximize, unit

prior = Prior.load("prior.safetensors")
target = prior.encoder_net()
preferred = maximize(target, unit("fc8", 3) + 0.2 * channel("conv5", 12), prior, seeds=4)
preferred.save("preferred")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgn.am.maximize import Preferred, Stage, maximize
    from dgn.am.objectives import channel, direction, dream, function, level, match, unit
    from dgn.am.objectives.algebra import Objective
    from dgn.am.objectives.language import parse_units
    from dgn.am.objectives.terms import Unit
    from dgn.am.parametrizations import Code, Fourier, Pixels
    from dgn.am.setting import Setting
    from dgn.am.step import Step
    from dgn.errors import UserError
    from dgn.methods import dgn_am
    from dgn.networks.featurenet import FeatureNet
    from dgn.prior import Prior
    from dgn.training.train_prior import train_prior
    from dgn.visualization.evolution import Evolution

_HOMES = {
    "Code": "dgn.am.parametrizations",
    "Evolution": "dgn.visualization.evolution",
    "FeatureNet": "dgn.networks.featurenet",
    "Fourier": "dgn.am.parametrizations",
    "Objective": "dgn.am.objectives",
    "Pixels": "dgn.am.parametrizations",
    "Preferred": "dgn.am.maximize",
    "Prior": "dgn.prior",
    "Setting": "dgn.am.setting",
    "Stage": "dgn.am.maximize",
    "Step": "dgn.am.step",
    "Unit": "dgn.am.objectives.terms",
    "UserError": "dgn.errors",
    "channel": "dgn.am.objectives",
    "dgn_am": "dgn.methods",
    "direction": "dgn.am.objectives",
    "dream": "dgn.am.objectives",
    "function": "dgn.am.objectives",
    "level": "dgn.am.objectives",
    "match": "dgn.am.objectives",
    "maximize": "dgn.am.maximize",
    "parse_units": "dgn.am.objectives.language",
    "train_prior": "dgn.training.train_prior",
    "unit": "dgn.am.objectives",
}
__all__ = [
    "Code",
    "Evolution",
    "FeatureNet",
    "Fourier",
    "Objective",
    "Pixels",
    "Preferred",
    "Prior",
    "Setting",
    "Stage",
    "Step",
    "Unit",
    "UserError",
    "channel",
    "dgn_am",
    "direction",
    "dream",
    "function",
    "level",
    "match",
    "maximize",
    "parse_units",
    "train_prior",
    "unit",
]


def __getattr__(name: str) -> Any:
    # On demand, so that `train.py --help` need not wait for torch.
    if name == "methods":
        return import_module("dgn.methods")
    if name not in _HOMES:
        raise AttributeError(f"module 'dgn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
