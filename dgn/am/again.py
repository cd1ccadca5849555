"""Searches that are begun again, from another start: those whose image the target does not see wherever it is put.

An image in which the target sees a class, and does not if the image is shifted by a few pixels, shows it less clearly
to other networks and to people. A class is where it is for every network that has learned it, so no judge is needed.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.film import Film
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.objectives.surrogates import CLASS_LOG_PROBABILITY, log_probability
from dgn.am.objectives.terms import Unit
from dgn.am.preferred import Preferred
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

log = logging.getLogger(__name__)

_ATTEMPT = 2**40  # seeds of attempt k lie around k * 2^40

Search = Callable[[Sequence[Objective], Sequence[int], Film | None], Preferred]
"""Runs searches, given an objective and a seed of each."""


@dataclass(frozen=True)
class SeenWhenShifted:
    """Which images show their class: those in which the target gives it `probability` at every place.

    The places are five: where the image is, and shifted up, down, left and right, its edges being repeated. Asked of
    searches for one class; those for other units, and for sums, are never begun again, as their values have no scale.

    Args:
        probability: the least probability of the class at each of the five places.
        shift: the shift, in pixels of an image of 224.
        tries: how often a search is begun at most, in all. If no image passes, the one with the largest least
            probability is kept.

    Raises:
        UserError: if a number is out of its range.
    """

    probability: float = 0.95
    shift: float = 21
    tries: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise UserError(f"method.again.probability={self.probability}: give a number from 0, below 1")
        if not self.shift > 0:
            raise UserError(f"method.again.shift={self.shift}: give a number of pixels above 0")
        if self.tries < 1:
            raise UserError(f"method.again.tries={self.tries}: give a number, at least 1 (1: none is begun again)")

    @torch.no_grad()
    def least_probability(self, target: FeatureNet, objectives: Sequence[Objective], images: Tensor) -> Tensor:
        """Returns the least probability of each image's class over the five places, (N,), on the CPU.

        Args:
            target: the network whose classes they are.
            objectives: the objective of each image.
            images: (N, C, H, W) in image space. 1 is returned for those whose objective is not one class.
        """
        least = torch.ones(len(images))
        read = [log_probability(objective, target) for objective in objectives]
        rows = [n for n, objective in enumerate(read) if _is_one_class(objective)]
        if rows:
            values = Evaluation([read[n] for n in rows], target.device)
            shown = moved(images[rows], target.device)
            at = torch.stack([values(target(view, values.layers)) for view in _places(shown, self.shift)])
            least[rows] = at.amin(0).exp().cpu().nan_to_num(0)
        return least


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
        rows = (least < again.probability).nonzero().flatten().tolist()
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
            "target gave the class less than %g (method.again)",
            count,
            len(preferred.tries),
            again.probability,
        )


def seed_of_attempt(seed: int, attempt: int) -> int:
    """Returns the seed of a search that is begun again: attempt 0 is the first, with the seed itself."""
    return seed + attempt * _ATTEMPT


def attempt_of(seed: int) -> tuple[int, int]:
    """Returns the attempt and the own seed of what `seed_of_attempt` returns."""
    attempt = (seed + _ATTEMPT // 2) // _ATTEMPT
    return attempt, seed - attempt * _ATTEMPT


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
