"""A method of one's own, sparse codes climbed by the gradient's sign: python examples/own_method.py PRIOR"""

import sys

from torch import Tensor

from dgn import Prior, Setting, Stage, Step, maximize, parse_units
from dgn.am.parametrizations import Code
from dgn.am.regularizers import Clip


class L1:
    def loss(self, step: Step) -> Tensor:
        return 0.01 * step.parameters.abs().flatten(1).sum(1)


class SignAscent:
    def begin(self, parameters: Tensor, steps: int, unit: float) -> None:
        self.size = unit / 2

    def step(self, parameters: Tensor, gradient: Tensor, i: int) -> None:
        parameters.add_(gradient.sign(), alpha=self.size)


prior = Prior.load(sys.argv[1])
target = prior.encoder_net()
stage = Stage(Code(Setting(target, prior)), SignAscent, [L1(), Clip()], steps=60)
maximize(target, parse_units("fc8:0-3", target), stage, seeds=range(2)).save("own_method")
