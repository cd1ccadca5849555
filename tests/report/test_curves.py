import math

import pytest

from dgn.report.curves import HEIGHT, MOST_POINTS, WIDTH, chart


def points(piece: str) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in piece.split()]


def test_a_line_goes_through_its_values_on_the_axes_that_the_ticks_are_on():
    values = [0.0, 5.0, 2.5, 10.0]
    drawn = chart([((0, 7), values)])
    (line,) = drawn.lines
    (piece,) = line.pieces
    assert line.key == (0, 7)
    ticks = {float(text): at for at, text in drawn.values}
    per_unit = (ticks[10] - ticks[0]) / 10
    for step, ((x, y), value) in enumerate(zip(points(piece), values, strict=True)):
        assert x == pytest.approx(WIDTH * step / 3, abs=0.6)
        assert 100 * (1 - y / HEIGHT) == pytest.approx(ticks[0] + per_unit * value, abs=0.2)
    assert [(text, round(at)) for at, text in drawn.steps] == [("0", 0), ("1", 33), ("2", 67), ("3", 100)]


def test_all_curves_and_the_reference_share_the_axes():
    drawn = chart([((0, 0), [1.0, 2.0]), ((1, 1), [3.0, 4.0, 5.0])], reference=9.0)
    ticks = {float(text): at for at, text in drawn.values}
    assert drawn.reference == pytest.approx(ticks[8] + (ticks[8] - ticks[6]) / 2, abs=0.1)
    short, long = (points(line.pieces[0]) for line in drawn.lines)
    assert short[-1][0] == WIDTH / 2
    assert long[-1][0] == WIDTH
    assert long[0][1] < short[-1][1]


def test_values_that_are_not_finite_break_the_line():
    drawn = chart([((0, 0), [1.0, 2.0, math.nan, 3.0, math.inf, 4.0, 5.0])])
    assert [len(points(piece)) for piece in drawn.lines[0].pieces] == [2, 1, 2]


def test_long_curves_keep_their_ends_and_few_points():
    drawn = chart([((0, 0), [math.sin(i / 50) for i in range(5001)])])
    found = points(drawn.lines[0].pieces[0])
    assert len(found) <= MOST_POINTS + 1
    assert (found[0][0], found[-1][0]) == (0, WIDTH)


@pytest.mark.parametrize("curves", [[], [[]], [[1.0]], [[math.nan, math.nan]], [[], [2.0]]])
def test_without_values_there_is_no_chart(curves):
    assert chart([((0, i), values) for i, values in enumerate(curves)]) is None


@pytest.mark.parametrize("values", [[0.0, 0.0], [7.0, 7.0], [-1e-12, 1e-12], [1e8, 3e8], [-3.0, -2.0]])
def test_any_range_has_ticks_within_the_chart(values):
    drawn = chart([((0, 0), values)])
    assert 2 <= len(drawn.values) <= 8
    assert len({text for _, text in drawn.values}) == len(drawn.values)
    assert all(0 <= at <= 100 for at, _ in drawn.values)
    assert all(0 <= y <= HEIGHT for piece in drawn.lines[0].pieces for _, y in points(piece))
