import numpy as np

from dgn.metrics.scores import REAL, Measured, Scores
from dgn.metrics.summary import markdown

UNITS = ("fc:0", "fc:1", "fc:2")


def row(method: str, prior: str, gain: float, layer: str = "", start: str = "noise") -> Measured:
    gains = gain + np.array([-1.0, 0.0, 1.0])
    of_set = {"frechet": (10 * gain, 10 * gains)}
    return Measured(method, prior, UNITS, 6, {"gain": gains, "mis": np.full(3, 0.875)}, of_set, {}, start, layer)


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


def test_priors_of_one_layer_are_one_row_with_the_range_of_their_means():
    rows = [
        row("dgn_am", "fc6 (a)", 2.0, "fc6"),
        row("dgn_am", "fc6 (b)", 3.5, "fc6"),
        row("pixels", "", 40.0),
        row("dgn_am", "fc6 (c)", 2.5, "fc6"),
        row("dgn_am", "conv5", 1.0, "conv5"),
    ]
    table = cells(markdown(Scores(rows)))
    assert table[0] == ["method", "start", "prior", "MIS", "Frechet", "gain"]
    assert table[2] == ["dgn_am", "noise", "3 of fc6", "0.88", "20.0 to 35.0", "2.00 to 3.50"]
    assert [of[:3] for of in table[3:]] == [["pixels", "noise", ""], ["dgn_am", "noise", "conv5"]]


def test_a_row_without_other_priors_has_its_interval_over_units():
    scores = Scores([row("pixels", "", 40.0)])
    estimate = scores.estimate(scores.rows[0], "gain")
    assert cells(markdown(scores))[2][-1] == f"40.0 ({estimate.low:.1f} to {estimate.high:.1f})"


def test_what_was_not_measured_is_a_dash_and_starts_are_rows_of_their_own():
    real = Measured(REAL, "", UNITS, 6, {"mis": np.array([0.5, 0.5, 0.5])})
    rows = [row("short", "p", 1.0, "fc6", "real"), row("short", "p", 1.0, "fc6"), real]
    table = cells(markdown(Scores(rows)))
    assert [of[1] for of in table[2:4]] == ["real", "noise"]
    assert table[4] == ["real images", "", "", "0.50 (0.50 to 0.50)", "–", "–"]
