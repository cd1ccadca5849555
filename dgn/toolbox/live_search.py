"""One search of activation maximization, step by step, so that a page can show it and stop it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.climb import enter
from dgn.am.maximize import begin_stage
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.outcomes import Watch
from dgn.am.stage import Stage
from dgn.am.step import Draws
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Frame:
    """The state of a search before a step, or at its end.

    Attributes:
        step: The number of steps that were taken.
        steps: The number of all steps.
        image: (3, H, W) on the CPU, in image space.
        value: The objective on this image.
    """

    step: int
    steps: int
    image: Tensor
    value: float

    @property
    def finished(self) -> bool:
        return self.step == self.steps


def search_live(
    target: FeatureNet,
    objective: Objective,
    stages: Sequence[Stage],
    seed: int,
    lock: AbstractContextManager,
) -> Iterator[Frame]:
    """Yields the frames of a search, as `dgn.am.maximize` runs it for one objective and one seed.

    Args:
        target: The network whose unit is maximized.
        objective: The objective.
        stages: The method's stages.
        seed: The seed of the search.
        lock: Is held during each step, as several sessions share the networks.
    """
    steps, done = sum(stage.steps for stage in stages), 0
    with lock:
        parametrization = stages[0].parametrization
        parameters = parametrization.start([seed], [objective]).detach().float()
        shown, watch = Evaluation([objective], parameters.device), Watch(parameters)
        draws = Draws([seed], parameters.device)
    for stage in stages:
        with lock:
            parameters = enter(stage, parametrization, parameters)
            parametrization = stage.parametrization
            take_step = begin_stage(target, [objective], stage, parameters, draws, watch)
        for i in range(stage.steps):
            with lock:
                frame = _frame(target, shown, parametrization.images(parameters.detach()), done, steps)
            yield frame
            with lock, torch.enable_grad():
                take_step(i, done)
            done += 1
    with lock:
        frame = _frame(target, shown, parametrization.images(parameters.detach()), done, steps)
    yield frame


@torch.no_grad()
def _frame(target: FeatureNet, shown: Evaluation, images: Tensor, step: int, steps: int) -> Frame:
    value = float(shown(target(images, shown.layers))[0])
    return Frame(step, steps, images[0].detach().float().cpu(), value)
