import numpy as np
import pytest
from scipy import stats

from dgn.studies.verdicts import over_seeds, statement, verdict


def test_the_interval_is_students():
    values = [0.2, 0.5, 0.4, 0.9]
    estimate = over_seeds(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((np.mean(values), low, high))


def test_values_that_were_not_measured_are_left_out():
    assert over_seeds([1.0, float("nan"), 3.0]).units == 2
    assert over_seeds([float("nan")]) is None


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([1.0, 1.1, 0.9], "holds"),
        ([-1.0, -1.1, -0.9], "fails"),
        ([1.0, -1.0, 0.5], "unclear"),
        ([1.0, 1.1], "unclear"),  # too few seeds
        ([0.0, 0.0, 0.0], "unclear"),
    ],
)
def test_a_statement_holds_if_its_whole_interval_is_above_zero(values, outcome):
    assert statement("it is so", "how much", values).outcome == outcome


def test_a_claim_holds_in_part_if_some_of_its_statements_do():
    yes, no = statement("a", "a", [1.0, 1.1, 0.9]), statement("b", "b", [-1.0, -1.1, -0.9])
    assert verdict([yes, yes]) == "holds"
    assert verdict([yes, no]) == "holds in part"
    assert verdict([no, no]) == "does not hold"


def test_nothing_follows_from_too_few_seeds():
    few, absent = statement("a", "a", [1.0, 1.1]), statement("b", "b", [1.0, 1.1, float("nan")])
    assert verdict([few]) == verdict([few, absent]) == verdict([]) == "too few seeds to tell"
    assert verdict([few, statement("c", "c", [-1.0, -1.1, -0.9])]) == "does not hold"
