"""Generator priors for any image network, and what its neurons prefer to see through them.

from dgn import Prior, dgn_am, parse_units

prior = Prior.load("prior.safetensors")
units = parse_units("fc8:house, fc8:tree", prior.encoder_net())
preferred = dgn_am(prior, units, seeds=range(4))
preferred.save("preferred")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgn.am.maximize import Preferred, Stage, maximize
    from dgn.am.methods import dgn_am
    from dgn.am.objectives.algebra import Objective
    from dgn.am.objectives.language import parse_units
    from dgn.am.objectives.terms import Unit
    from dgn.am.setting import Setting
    from dgn.am.step import Step
    from dgn.errors import UserError
    from dgn.networks.featurenet import FeatureNet
    from dgn.prior import Prior
    from dgn.training.train_prior import train_prior

_HOMES = {
    "FeatureNet": "dgn.networks.featurenet",
    "Objective": "dgn.am.objectives",
    "Preferred": "dgn.am.maximize",
    "Prior": "dgn.prior",
    "Setting": "dgn.am.setting",
    "Stage": "dgn.am.maximize",
    "Step": "dgn.am.step",
    "Unit": "dgn.am.objectives.terms",
    "UserError": "dgn.errors",
    "dgn_am": "dgn.am.methods",
    "maximize": "dgn.am.maximize",
    "parse_units": "dgn.am.objectives.language",
    "train_prior": "dgn.training.train_prior",
}
__all__ = [
    "FeatureNet",
    "Objective",
    "Preferred",
    "Prior",
    "Setting",
    "Stage",
    "Step",
    "Unit",
    "UserError",
    "dgn_am",
    "maximize",
    "parse_units",
    "train_prior",
]


def __getattr__(name: str) -> Any:
    # On demand, so that `train.py --help` need not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'dgn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
