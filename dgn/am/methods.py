"""Published methods in a line of Python, as conf/method has them for the command line."""

from collections.abc import Sequence

from torch import Tensor

from dgn.am.maximize import Preferred, Stage, maximize
from dgn.am.objectives import Objective
from dgn.am.parametrizations import Code
from dgn.am.regularizers import Clip, Decay
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior


def dgn_am(
    prior: Prior,
    objectives: Sequence[Objective],
    target: FeatureNet | None = None,
    seeds: Sequence[int] = (0,),
    steps: int = 200,
    start: str | Tensor = "noise",
) -> Preferred:
    """DGN-AM (Nguyen et al. 2016) with its published settings: images that excite each objective most, found in the
    prior's code space; one for every objective and seed.

    target: the network whose units they are; None: the prior's encoder. start: "noise", "sample", or real images
    (M, 3, H, W) whose codes the search starts from."""
    target = target or prior.encoder_net()
    code = Code(Setting(target, prior, begin=start))
    return maximize(target, objectives, Stage(code, NormalizedAscent, [Decay(), Clip()], steps), list(seeds))
