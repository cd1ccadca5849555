"""How sure a figure is: intervals over units, by resampling them (Efron & Tibshirani 1993).

Units, not images, are resampled: the seeds of one unit are alike, and a method is claimed to work on units that were
not looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval. low, high: None where there are fewer than two units. units: how many it is over."""

    value: float
    low: float | None
    high: float | None
    units: int


def interval(
    per_unit: Sequence[float] | np.ndarray,
    value: float | None = None,
    share: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate | None:
    """The mean over units and its percentile bootstrap interval; None where no unit has a value.

    per_unit: (units,), NaN where a unit has none. value: the figure, where it is not the mean: the interval of the
    mean is laid around it (for the pseudo-values that `jackknife` gives).
    share: the values are shares of seeds, 0 to 1. Where every unit has 0, or every one 1, resampling sees no
    spread; the interval is then the exact one of as many trials as there are units (Clopper & Pearson 1934).
    The same seed and number of units draw the same resamples.
    """
    known = np.asarray(per_unit, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return None
    mean = float(known.mean())
    value = mean if value is None else float(value)
    if len(known) < 2:
        return Estimate(value, None, None, len(known))
    tail = (1 - level) / 2
    if share and mean in (0.0, 1.0) and known.min() == known.max():
        reach = 1 - tail ** (1 / len(known))
        low, high = (0.0, reach) if mean == 0 else (1 - reach, 1.0)
        return Estimate(value, low, high, len(known))
    drawn = np.random.default_rng(seed).integers(len(known), size=(resamples, len(known)))
    low, high = np.quantile(known[drawn].mean(1), [tail, 1 - tail]) - mean + value
    return Estimate(value, float(low), float(high), len(known))


def jackknife(groups: np.ndarray, figure: Callable[[np.ndarray], float], value: float) -> np.ndarray:
    """Pseudo-values of a figure that is of a whole set, such as a Frechet distance: one for each group,
    k * value - (k - 1) * figure(without the group), whose mean's spread is the figure's (Tukey 1958).

    groups: (k,) distinct names. figure: the figure over the groups that it is given. value: over all of them.
    Why not the bootstrap: a resample holds its images twice, which looks like less diversity than there is and
    lifts every distance between distributions."""
    k = len(groups)
    if k < 2:
        return np.full(k, np.nan)
    without = np.array([figure(groups[groups != group]) for group in groups])
    return k * value - (k - 1) * without
