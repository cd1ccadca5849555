"""Published methods as Python functions; conf/method holds them for the command line."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dgn.am.maximize import Preferred, Stage, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.parametrizations.code import Code
from dgn.am.regularizers.parameters import Clip, Decay
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior


@torch.inference_mode(False)
def dgn_am(
    prior: Prior,
    objectives: str | Objective | Sequence[str | Objective],
    target: FeatureNet | None = None,
    seeds: int | Sequence[int] = (0,),
    steps: int | None = None,
    start: str | Tensor | Any = "noise",
) -> Preferred:
    """Runs DGN-AM (Nguyen et al. 2016) with its published settings.

    It searches the prior's code space for an image that maximizes each objective, one for every objective and seed.
    After each step the code is clipped to its bounds and then multiplied by 0.99 (the L2 term), in the order of the
    published code. This is the same search as method=dgn_am of visualize.py.

    Args:
        prior: the prior whose codes are searched.
        objectives: as for `maximize`, e.g. "fc8:3".
        target: the network whose units are maximized; None: the prior's encoder.
        seeds: as for `maximize`, e.g. 4.
        steps: None: 200, with a step size that falls from 8 to 1e-10; from real images 30, with a step size that
            falls from 1.
        start: "noise", "sample", or real images (M, 3, H, W) or anything that `as_images` accepts, from whose codes
            the search starts.
    """
    target = target or prior.encoder_net()
    from_real = not isinstance(start, str)
    code = Code(Setting(target, prior, begin=start))
    update = partial(NormalizedAscent, first=1.0 if from_real else 8.0)
    default_steps = 30 if from_real else 200
    stage = Stage(code, update, [Clip(), Decay()], default_steps if steps is None else steps)
    return maximize(target, objectives, stage, seeds)
