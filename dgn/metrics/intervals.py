"""Confidence intervals over units, by resampling them (Efron & Tibshirani 1993).

Units, not images, are resampled: images of one unit are similar, and the claim is about units that were not measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval.

    Attributes:
        value: the figure.
        low: the lower end of the interval; None if there are fewer than two units.
        high: the upper end; None if there are fewer than two units.
        units: the number of units.
    """

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
    """Returns the mean over units and its percentile bootstrap interval; None if no unit has a value.

    The same seed and number of units give the same resamples.

    Args:
        per_unit: (units,), NaN for units without a value.
        value: the figure, if it is not the mean; the interval of the mean is shifted to it (for the pseudo-values
            from `jackknife`).
        share: whether the values are fractions of seeds, 0 to 1. If all are 0 or all are 1, resampling has no spread;
            the interval is then the exact one of as many trials as units (Clopper & Pearson 1934).
        level: the confidence level.
        resamples: the number of bootstrap samples.
        seed: seeds the resampling.
    """
    values = np.asarray(per_unit, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return None
    mean = float(values.mean())
    value = mean if value is None else float(value)
    if len(values) < 2:
        return Estimate(value, None, None, len(values))
    tail = (1 - level) / 2
    if share and mean in (0.0, 1.0) and values.min() == values.max():
        reach = 1 - tail ** (1 / len(values))
        low, high = (0.0, reach) if mean == 0 else (1 - reach, 1.0)
        return Estimate(value, low, high, len(values))
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [tail, 1 - tail]) - mean + value
    return Estimate(value, float(low), float(high), len(values))


def jackknife(groups: np.ndarray, figure: Callable[[np.ndarray], float], value: float) -> np.ndarray:
    """Returns jackknife pseudo-values, (k,), of a figure of a whole set, such as a Frechet distance (Tukey 1958).

    The pseudo-value of a group is k * value - (k - 1) * figure(without the group); the spread of their mean is that
    of the figure. The bootstrap does not work here: a resample holds images twice, which looks like less diversity
    and increases every distance between distributions.

    Args:
        groups: (k,), distinct names of groups.
        figure: returns the figure over the given groups.
        value: the figure over all groups.
    """
    k = len(groups)
    if k < 2:
        return np.full(k, np.nan)
    without = np.array([figure(groups[groups != group]) for group in groups])
    return k * value - (k - 1) * without
