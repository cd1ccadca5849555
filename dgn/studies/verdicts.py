"""From measurements over seeds to a verdict on a claim, by one rule for all studies.

A claim is split into statements, each a quantity that is above 0 if the statement is true. A statement holds if the
whole 95% interval of its mean over seeds is above 0, fails if the whole interval is below 0, and is unclear otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from dgn.metrics.intervals import Estimate

Outcome = Literal["holds", "fails", "unclear"]
Verdict = Literal["holds", "holds in part", "does not hold", "too few seeds to tell"]
LEAST = 3
"""The number of seeds that a verdict needs."""


def over_seeds(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate | None:
    """Returns the mean of values (seeds,) and its interval by Student's t distribution; None without any value.

    Values that are not finite are left out. There is no interval for fewer than two values.
    """
    finite = np.asarray([value for value in values if math.isfinite(value)], dtype=float)
    if not len(finite):
        return None
    mean = float(finite.mean())
    if len(finite) < 2:
        return Estimate(mean, None, None, len(finite))
    reach = float(student.ppf((1 + level) / 2, len(finite) - 1) * finite.std(ddof=1) / len(finite) ** 0.5)
    return Estimate(mean, mean - reach, mean + reach, len(finite))


@dataclass(frozen=True)
class Statement:
    """A part of a claim.

    Attributes:
        text: the statement in words.
        quantity: what is above 0 if it is true, in words.
        values: (seeds,), the quantity of each seed.
    """

    text: str
    quantity: str
    values: tuple[float, ...]

    @property
    def estimate(self) -> Estimate | None:
        """The mean of the quantity and its interval over seeds."""
        return over_seeds(self.values)

    @property
    def seeds(self) -> int:
        """The number of seeds for which the quantity was measured."""
        return sum(map(math.isfinite, self.values))

    @property
    def outcome(self) -> Outcome:
        """Whether the statement holds; unclear if there are too few seeds."""
        estimate = self.estimate
        if self.seeds < LEAST or estimate is None or estimate.low is None or estimate.high is None:
            return "unclear"
        if estimate.low > 0:
            return "holds"
        return "fails" if estimate.high < 0 else "unclear"


def statement(text: str, quantity: str, values: Sequence[float] | np.ndarray) -> Statement:
    """Returns the statement that the quantity with these values, (seeds,), is above 0."""
    return Statement(text, quantity, tuple(float(value) for value in values))


def verdict(statements: Sequence[Statement]) -> Verdict:
    """Returns "holds" if all statements hold, "holds in part" if some do, and "does not hold" if none does.

    If no statement was measured for `LEAST` seeds, all are unclear: "too few seeds to tell".
    """
    if all(statement.seeds < LEAST for statement in statements):
        return "too few seeds to tell"
    held = [statement.outcome == "holds" for statement in statements]
    if all(held):
        return "holds"
    return "holds in part" if any(held) else "does not hold"
