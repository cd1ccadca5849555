import numpy as np
import pytest
from scipy import stats

from dgn.metrics.intervals import interval, jackknife


def test_the_interval_of_a_mean_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2, size=30)
    ours = interval(values, resamples=9999)
    scipys = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours.units == 30
    assert (ours.low, ours.high) == pytest.approx(scipys, abs=0.03)
    assert interval(values, seed=4) == interval(values, seed=4) != interval(values, seed=5)


def test_intervals_cover_the_true_value_about_as_often_as_their_level():
    random = np.random.default_rng(3)
    found = [interval(random.normal(1, 2, 25), resamples=400, seed=i) for i in range(400)]
    covered = np.mean([e.low <= 1 <= e.high for e in found])
    assert 0.88 < covered < 0.97


def test_units_without_a_value_do_not_count():
    assert interval([1.0, np.nan, 3.0]).value == 2
    assert interval([1.0, np.nan, 3.0]).units == 2
    assert interval([np.nan]) is None
    assert interval([2.0]).low is None


def test_a_share_that_is_the_same_for_every_unit_is_not_certain():
    exact = stats.binomtest(16, 16).proportion_ci(0.95, "exact")
    every, none = interval([1.0] * 16, share=True), interval([0.0] * 16, share=True)
    assert (every.low, every.high) == pytest.approx((exact.low, 1))
    assert (none.low, none.high) == pytest.approx((0, 1 - exact.low))


def test_pseudo_values_of_a_mean_are_the_values():
    values = np.random.default_rng(1).normal(size=7)
    groups = np.arange(7)
    found = jackknife(groups, lambda kept: float(values[kept].mean()), float(values.mean()))
    np.testing.assert_allclose(found, values)


def test_the_jackknifes_spread_of_a_variance_is_close_to_theory():
    values = np.random.default_rng(2).normal(size=400)
    pseudo = jackknife(np.arange(400), lambda kept: float(values[kept].var(ddof=1)), float(values.var(ddof=1)))
    assert pseudo.std(ddof=1) / 20 == pytest.approx(np.sqrt(2 / 399), rel=0.15)
