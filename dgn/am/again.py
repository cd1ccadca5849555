"""Searches that are begun again, from another draw: those whose image loses its class when it is shifted.

An image in which the target sees a class, but less surely if the image is shifted by a few pixels, shows it less
clearly to other networks and to people. How sure of shifted images a network is depends on how it was trained. So the
measure is what the prior draws, and no judge is needed.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.attempts import seed_of_attempt
from dgn.am.candidates import Candidates, Drawn
from dgn.am.film import Film
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.objectives.surrogates import is_log_probability, log_probability
from dgn.am.objectives.terms import Unit
from dgn.am.preferred import Preferred
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.runs.progress import announced

log = logging.getLogger(__name__)

_BATCH = 50


class Search(Protocol):
    """Runs searches, given an objective and a seed of each. `first`: not searches that are begun again."""

    def __call__(
        self, objectives: Sequence[Objective], seeds: Sequence[int], film: Film | None = None, first: bool = True
    ) -> Preferred: ...


@dataclass(frozen=True)
class SeenWhenShifted:
    """Which images show their class: those in which the target sees it at each of five places.

    The places are: where the image is, and shifted up, down, left and right, its edges being repeated. An image passes
    if the least of its class's five probabilities is at least the threshold: the quantile `share` of the same figure of
    the prior's draws, each for the class that the target sees in it. Asked of searches for one class that start at such
    draws; other units and sums have no such scale.

    Args:
        share: the share of the prior's draws that would not pass. 0: all would.
        shift: the shift, in pixels of an image of 224.
        tries: how often a search is begun at most, in all. If no image passes, the one with the largest least
            probability is kept.
        draws: of how many draws the threshold is taken, at most.

    Raises:
        UserError: if a number is out of its range.
    """

    share: float = 0.3
    shift: float = 21
    tries: int = 3
    draws: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UserError(f"method.again.share={self.share}: give a number from 0, below 1")
        if not self.shift > 0:
            raise UserError(f"method.again.shift={self.shift}: give a number of pixels above 0")
        for key, count in (("tries", self.tries), ("draws", self.draws)):
            if count < 1:
                raise UserError(f"method.again.{key}={count}: give a number, at least 1")

    def __bool__(self) -> bool:
        """Whether any search can be begun again."""
        return self.tries > 1 and self.share > 0

    def threshold(self, target: FeatureNet, drawn: Drawn) -> float:
        """Returns the least probability, over the five places, that an image needs; measured once for each target."""
        known, key = drawn.measured.setdefault(target, {}), (self.shift, self.draws)
        if key not in known:
            images = drawn.images[: self.draws]
            what = "Showing the target shifted draws of the prior, for what an image has to show (method.again)"
            parts = announced(images.split(_BATCH), len(images), what, "fewer with method.again.draws=N", _BATCH)
            known[key] = torch.cat([self._of_draws(target, part.float().div(255)) for part in parts])
        return float(known[key].quantile(self.share))

    def _of_draws(self, target: FeatureNet, images: Tensor) -> Tensor:
        layer = target.class_layer()
        with torch.no_grad():
            classes = target(moved(images, target.device), [layer])[layer].argmax(1).tolist()
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
        read = [_of_class(log_probability(objective, target)) for objective in objectives]
        rows = [n for n, objective in enumerate(read) if objective is not None]
        if rows:
            values = Evaluation([objective for objective in read if objective is not None], target.device)
            shown = moved(images[rows], target.device)
            at = torch.stack([values(target(view, values.layers)) for view in _places(shown, self.shift)])
            least[rows] = at.amin(0).exp().cpu().nan_to_num(0)
        return least


def begun_again(
    search: Search,
    again: SeenWhenShifted,
    target: FeatureNet,
    candidates: Candidates,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    film: Film | None = None,
) -> Preferred:
    """Runs searches, and those whose image does not pass again from other draws; returns the best image of each.

    A search depends on its objective and seed alone, also when it is begun again.

    Args:
        search: runs a batch of searches.
        again: which images pass, and how often a search is begun at most.
        target: the network whose units are maximized.
        candidates: the prior's draws, at which searches start.
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
        if bool(least.isnan().all()):  # the threshold takes time
            break
        rows = (least < again.threshold(target, candidates.drawn)).nonzero().flatten().tolist()
        if not rows:
            break
        named = [objectives[n] for n in rows]
        tried = [seed_of_attempt(seeds[n], attempt) for n in rows]
        others = search(named, tried, keep if film else None, first=False)
        found = again.least_probability(target, named, others.images)
        better = [i for i, n in enumerate(rows) if found[i] > least[n]]
        lost = {(objectives[rows[i]], preferred.seeds[rows[i]] if i in better else tried[i]) for i in range(len(rows))}
        frames = {search: shots for search, shots in frames.items() if search not in lost}
        preferred.replace([rows[i] for i in better], others, better)
        least[[rows[i] for i in better]] = found[better]
        for n in rows:
            preferred.tries[n] = attempt + 1
    if film is not None:
        for objective, own, seed in zip(objectives, seeds, preferred.seeds, strict=True):
            film(objective, own, frames[objective, seed])
    preferred.seeds = list(seeds)
    return preferred


def report(parts: Sequence[Preferred], again: SeenWhenShifted, target: FeatureNet, candidates: Candidates) -> None:
    """Logs how many of the searches were begun again, if any."""
    tries = [tries for part in parts for tries in part.tries]
    count = sum(number > 1 for number in tries)
    if count:
        log.info(
            "%d of %d searches were begun again, from another draw: in their image, shifted by a few pixels, the "
            "target gave the class less than %.3g, what %g%% of the prior's draws fall short of (method.again)",
            count,
            len(tries),
            again.threshold(target, candidates.drawn),
            100 * again.share,
        )


def _of_class(objective: Objective) -> Objective | None:
    """Returns the log-probability alone of an objective that is one class with any positive weight; None for others."""
    (weight, term), *others = objective.terms
    if others or weight <= 0 or not isinstance(term, Unit) or term.position is not None:
        return None
    return Objective(((1.0, term),)) if is_log_probability(term) else None


def _places(images: Tensor, shift: float) -> list[Tensor]:
    """Returns images (N, C, H, W) as they are, and shifted up, down, left and right."""
    height, width = images.shape[2:]
    reach = max(1, round(shift * max(height, width) / 224))
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    corners = ((reach, reach), (2 * reach, reach), (0, reach), (reach, 2 * reach), (reach, 0))
    return [padded[:, :, top : top + height, left : left + width] for top, left in corners]
