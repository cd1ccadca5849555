"""A custom method, sparse codes with Adam: python examples/own_method.py, in the folder of prior.safetensors."""

from torch import Tensor

from dgn import Prior, Setting, Stage, Step, maximize, parse_units
from dgn.am.parametrizations import Code
from dgn.am.regularizers import Clip
from dgn.am.updates import Adam


class L1:
    def loss(self, step: Step) -> Tensor:
        return 0.01 * step.parameters.abs().flatten(1).sum(1)


prior = Prior.load("prior.safetensors")
target = prior.encoder_net()
stage = Stage(Code(Setting(target, prior)), Adam, [L1(), Clip()], steps=60)
maximize(target, parse_units("fc8:0-3", target), stage, seeds=range(2)).save("own_method")
