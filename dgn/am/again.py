"""Searches that are begun again, from another start: those whose image the target does not see wherever it is put.

An image in which the target sees a class, and does not if the image is shifted by a few pixels, shows it less clearly
to other networks and to people. How sure of shifted images a network is depends on how it was trained. So the measure
is what the prior draws, and no judge is needed.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.attempts import seed_of_attempt
from dgn.am.candidates import draws_of
from dgn.am.film import Film
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.objectives.surrogates import CLASS_LOG_PROBABILITY, log_probability
from dgn.am.objectives.terms import Unit
from dgn.am.preferred import Preferred
from dgn.am.setting import Setting
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.runs.progress import announced

log = logging.getLogger(__name__)

_BATCH = 50

Search = Callable[[Sequence[Objective], Sequence[int], Film | None], Preferred]
"""Runs searches, given an objective and a seed of each."""


class SeenWhenShifted:
    """Which images show their class: those in which the target sees it at five places.

    The places are: where the image is, and shifted up, down, left and right, its edges being repeated. An image passes
    if the least of its class's five probabilities is at least `threshold`: that of the draws of the prior which the
    target is least sure of, a share of `share`. Asked of searches for one class; those for other units, and for sums,
    pass, as their values have no scale; and so do those that do not start at draws of the prior.

    Args:
        setting: the target and the prior, which has a code model.
        share: the share of the prior's draws that would not pass. 0: all would.
        shift: the shift, in pixels of an image of 224.
        tries: how often a search is begun at most, in all. If no image passes, the one with the largest least
            probability is kept.
        candidates: the draws are the first `draws` of so many: those of the parametrization, if the numbers are equal.
        draws: of how many draws the threshold is taken.

    Raises:
        UserError: if a number is out of its range.
    """

    def __init__(
        self,
        setting: Setting,
        share: float = 0.3,
        shift: float = 21,
        tries: int = 3,
        candidates: int = 500,
        draws: int = 200,
    ) -> None:
        if not 0 <= share < 1:
            raise UserError(f"method.again.share={share}: give a number from 0, below 1")
        if not shift > 0:
            raise UserError(f"method.again.shift={shift}: give a number of pixels above 0")
        for key, count in (("tries", tries), ("candidates", candidates), ("draws", draws)):
            if count < 1:
                raise UserError(f"method.again.{key}={count}: give a number, at least 1")
        self.share, self.shift, self.tries = share, shift, tries
        self._setting, self._candidates, self._draws = setting, candidates, draws

    @cached_property
    def threshold(self) -> float:
        """The least probability, over the five places, that an image needs."""
        target, prior = self._setting.target, self._setting.codes()
        images = draws_of(prior, self._candidates).images[: self._draws]
        what = "Showing the target shifted draws of the prior, for what an image has to show (method.again)"
        parts = announced(images.split(_BATCH), len(images), what, "fewer with method.again.draws=N", _BATCH)
        least = [self._of_draws(target, part.float().div(255)) for part in parts]
        return float(torch.cat(least).quantile(self.share)) if self.share else 0.0

    def _of_draws(self, target: FeatureNet, images: Tensor) -> Tensor:
        layer = target.class_layer()
        with torch.no_grad():
            classes = target(moved(images, target.device), [layer])[layer].flatten(1).argmax(1).tolist()
        return self.least_probability(target, [Objective(((1.0, Unit(layer, c)),)) for c in classes], images)

    @torch.no_grad()
    def least_probability(self, target: FeatureNet, objectives: Sequence[Objective], images: Tensor) -> Tensor:
        """Returns the least probability of each image's class over the five places, (N,), on the CPU.

        Args:
            target: the network whose classes they are.
            objectives: the objective of each image.
            images: (N, C, H, W) in image space. NaN is returned for those whose objective is not one class.
        """
        least = torch.full((len(images),), torch.nan)
        read = [log_probability(objective, target) for objective in objectives]
        rows = [n for n, objective in enumerate(read) if _is_one_class(objective)]
        if rows:
            values = Evaluation([read[n] for n in rows], target.device)
            shown = moved(images[rows], target.device)
            at = torch.stack([values(target(view, values.layers)) for view in _places(shown, self.shift)])
            least[rows] = at.amin(0).exp().cpu().nan_to_num(0)
        return least

    def failing(self, least: Tensor) -> list[int]:
        """Returns which of N images do not pass, by their least probabilities, (N,)."""
        if self._setting.begin != "sample" or bool(least.isnan().all()):  # the threshold takes time
            return []
        return (least < self.threshold).nonzero().flatten().tolist()


def begun_again(
    search: Search,
    again: SeenWhenShifted,
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    film: Film | None = None,
) -> Preferred:
    """Runs searches, and those whose image does not pass again with other starts; returns the best image of each.

    A search depends on its objective and seed alone, also when it is begun again.

    Args:
        search: runs a batch of searches.
        again: which images pass, and how often a search is begun at most.
        target: the network whose units are maximized.
        objectives: the objective of each search.
        seeds: their seeds.
        film: called with the frames of the images that are kept.
    """
    frames: dict[tuple[Objective, int], Tensor] = {}

    def keep(objective: Objective, seed: int, shots: Tensor) -> None:
        frames[objective, seed] = shots

    preferred = search(objectives, seeds, keep if film else None)
    least = again.least_probability(target, objectives, preferred.images)
    for attempt in range(1, again.tries):
        rows = again.failing(least)
        if not rows:
            break
        named = [objectives[n] for n in rows]
        others = search(named, [seed_of_attempt(seeds[n], attempt) for n in rows], keep if film else None)
        found = again.least_probability(target, named, others.images)
        better = [i for i, n in enumerate(rows) if found[i] > least[n]]
        preferred.replace([rows[i] for i in better], others, better)
        least[[rows[i] for i in better]] = found[better]
        for n in rows:
            preferred.tries[n] = attempt + 1
    if film is not None:
        for objective, own, seed in zip(objectives, seeds, preferred.seeds, strict=True):
            film(objective, own, frames[objective, seed])
    preferred.seeds = list(seeds)
    return preferred


def report(preferred: Preferred, again: SeenWhenShifted) -> None:
    """Logs how many searches were begun again, if any."""
    count = sum(tries > 1 for tries in preferred.tries)
    if count:
        log.info(
            "%d of %d searches were begun again, from another start: in their image, shifted by a few pixels, the "
            "target gave the class less than %.2f, as in the weaker %d%% of what the prior draws (method.again)",
            count,
            len(preferred.tries),
            again.threshold,
            round(100 * again.share),
        )


def _is_one_class(objective: Objective) -> bool:
    (weight, term), *others = objective.terms
    return not others and weight > 0 and isinstance(term, Unit) and term.reading == CLASS_LOG_PROBABILITY


def _places(images: Tensor, shift: float) -> list[Tensor]:
    """Returns images (N, C, H, W) as they are, and shifted up, down, left and right."""
    height, width = images.shape[2:]
    reach = max(1, round(shift * max(height, width) / 224))
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    corners = ((reach, reach), (2 * reach, reach), (0, reach), (reach, 2 * reach), (reach, 0))
    return [padded[:, :, top : top + height, left : left + width] for top, left in corners]
