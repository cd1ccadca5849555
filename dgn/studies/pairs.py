"""Two class units at once: does the picture show both things?"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from dgn.metrics.recognition import judge_images
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab, share
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Pairs(Study):
    """Keys: the number of units of which all pairs are shown; how many of the judge's labels count."""

    members: int = 5
    among: int = 3

    title = "Pairs: two units in one picture"
    source = "DGN-AM S8, S12"
    claim = "A picture for two units at once shows both: both classes are recognized."
    measured = (
        "For all pairs of units, the search maximizes the sum of the two. The judge's probabilities of both classes; "
        "the smaller of them; whether both classes are among its first few labels. The same of pictures for one of "
        "the two units, which are what the pair is compared with."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        singles = lab.units(count=self.members)
        prior = lab.trainings.prior()
        alone = lab.search(singles, seed, prior)
        pairs = list(itertools.combinations(range(len(singles)), 2))
        both = lab.search([singles[i] + singles[j] for i, j in pairs], seed, prior)
        of_pairs = [self._of_pair(lab, both.images[n : n + 1], singles, pair) for n, pair in enumerate(pairs)]
        of_one = [
            self._of_pair(lab, alone.images[i : i + 1], singles, pair) for pair in pairs for i in pair
        ]  # fmt: skip
        numbers = {f"one unit/{name}": value for name, value in _mean(of_one).items()}
        numbers |= {f"two units/{name}": value for name, value in _mean(of_pairs).items()}
        names = [f"{singles[i].label} + {singles[j].label}" for i, j in pairs]
        first, second = (torch.stack([alone.images[pair[n]] for pair in pairs]) for n in range(2))
        columns = {"the first": first, "both": both.images, "the second": second}
        caption = "Preferred images of two units at once, between those of each alone."
        return Measurement(numbers, [side_by_side("pairs", columns, names, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Both classes are among the judge's first labels more often than in pictures of one unit.",
                f"share with both among the first {self.among} for pairs minus that for single units",
                numbers("two units/both recognized") - numbers("one unit/both recognized"),
            ),
            statement(
                "The less probable of the two classes is more probable than in pictures of one unit.",
                "the smaller probability for pairs minus that for single units",
                numbers("two units/smaller probability") - numbers("one unit/smaller probability"),
            ),
            statement(
                "Both classes are recognized in most pairs.",
                f"share with both among the first {self.among} minus 1/2",
                numbers("two units/both recognized") - 0.5,
            ),
        ]

    def _of_pair(self, lab: Lab, image: torch.Tensor, units: list, pair: tuple[int, int]) -> dict[str, float]:
        verdicts = [judge_images(lab.judge, image, [units[i].wanted])[0] for i in pair]
        wanted = [verdict.wanted or 0.0 for verdict in verdicts]
        return {
            "both recognized": share([all(bool(verdict.top(self.among)) for verdict in verdicts)]),
            "smaller probability": min(wanted),
            "larger probability": max(wanted),
        }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
