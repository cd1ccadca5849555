"""How many searches run together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.climb import Climb, enter
from dgn.am.objectives.algebra import Objective
from dgn.am.stage import Stage
from dgn.am.step import Draws, Step
from dgn.networks.featurenet import FeatureNet

ON_CPU = 16
"""The number of searches that run together on a CPU: more are no faster there, and it is longer until some are
finished."""


def searches_together(target: FeatureNet, objective: Objective, stages: Sequence[Stage], seeds: int) -> int:
    """Returns how many searches run together by default: as many as fit in memory, at most 16 on a CPU.

    They are whole units if it is at least one, so that a run that is stopped has finished units.

    Args:
        target: the network whose units are maximized.
        objective: one of the objectives.
        stages: the method.
        seeds: the number of seeds of each unit.
    """
    candidates = max(stage.candidates for stage in stages)
    if not target.has_gradient:
        return 1  # nothing is tried out on it
    count = max(1, fitting_batch(target, objective, stages) // max(1, candidates))
    if target.device.type == "cpu":
        count = min(count, ON_CPU if not candidates else max(1, 4 * ON_CPU // candidates))
    return count // seeds * seeds or count


@torch.inference_mode(False)
@torch.enable_grad()
def fitting_batch(target: FeatureNet, objective: Objective, stages: Sequence[Stage]) -> int:
    """Returns how many searches fit in memory together, at most 256.

    It counts the bytes that autograd keeps for one image, in the stage that needs most, and compares twice that with
    a fifth of the free memory (2 GiB on a CPU).
    """
    kept, most = 0, 1

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if not (tensor.is_leaf and not tensor.requires_grad):  # weights do not grow with the batch
            kept += tensor.numel() * tensor.element_size()
        return tensor

    parametrization = stages[0].parametrization
    parameters = parametrization.start([0], [objective]).detach().float()
    for stage in stages:
        parameters = enter(stage, parametrization, parameters)
        parametrization = stage.parametrization
        climb, kept = Climb(target, [objective], stage, None, parameters.device), 0
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            images = parametrization.images(parameters.requires_grad_(True))
            climb(Step(parametrization, parameters, images, Draws([0], parameters.device), 0, 1))
        most = max(most, kept)
    free = torch.cuda.mem_get_info()[0] if parameters.is_cuda else 10 * 2**30
    return max(1, min(256, int(free / 5 / (2 * most))))
