from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from dgn.report import Comparison, Contender, Metric, save_comparison_figure
from dgn.report.comparison import table
from dgn.report.comparison_figure import comparison_figure


@dataclass
class Figure:
    value: float
    low: float | None = None
    high: float | None = None


def test_the_best_of_each_column_is_marked():
    figures = [(0.9, 30.0, 5.0, 1.0), (0.5, 10.0, 7.0, 1.0), (0.7, float("nan"), 6.0, 1.0)]
    metrics = [Metric("up"), Metric("down", "lower"), Metric("neither", ""), Metric("tied")]
    contenders = [
        Contender(f"m{i}", "", {m.name: Figure(v) for m, v in zip(metrics, line, strict=True)})
        for i, line in enumerate(figures)
    ]
    made = table(Comparison(metrics, contenders, Contender("real", "", {"up": Figure(1.0)})))
    assert [[cell and cell.best for cell in cells] for _, cells in made.rows] == [
        [True, False, False, False],
        [False, True, False, False],
        [False, None, False, False],
    ]
    assert made.reference[1][0].text == "1.00"
    assert not made.reference[1][0].best
    assert made.reference[1][1:] == [None] * 3
    assert not made.priors
    assert not made.with_intervals


def test_figures_and_intervals_stand_on_one_scale_a_column():
    metric = Metric("recognized", percent=True)
    contenders = [
        Contender("a", "fc6", {"recognized": Figure(0.5, 0.25, 0.75)}),
        Contender("b", "", {"recognized": Figure(1.0)}),
    ]
    made = table(Comparison([metric], contenders, Contender("real", "", {"recognized": Figure(0.25)})))
    a, b = (cells[0] for _, cells in made.rows)
    assert (a.text, a.interval, b.text, b.interval) == ("50%", "25% to 75%", "100%", "")
    assert (b.at - a.at) == pytest.approx(2 * (a.at - a.low), abs=0.3)
    assert a.width == pytest.approx(2 * (a.at - a.low), abs=0.3)
    assert a.real == b.real == a.low
    assert 0 < a.low < b.at < 100
    assert made.priors
    assert made.with_intervals


def test_each_picture_is_in_its_row_and_column(flat_images):
    images = flat_images(12)
    sheet = np.asarray(comparison_figure(images, ["house", "boat"], ["a · x", "b", "c"], per_cell=2, scale=2))
    centres = []
    for image in images:
        ys, xs = np.nonzero((sheet == (image[:, 0, 0] * 255).round().numpy().astype(np.uint8)).all(2))
        assert len(ys) == 32 * 32
        centres.append((ys.mean(), xs.mean()))
    assert [len({y for y, _ in centres[row : row + 6]}) for row in (0, 6)] == [1, 1]
    assert centres[6][0] > centres[0][0] + 32
    across = np.diff([x for _, x in centres[:6]])
    assert (across[[0, 2, 4]] < across[[1, 3, 3]]).all()  # pictures of a cell are nearer than those of two
    assert [x for _, x in centres[:6]] == [x for _, x in centres[6:]]
    assert (sheet[:, :10] == 255).all()


def test_titles_are_beside_the_pictures_however_long(flat_images, tmp_path):
    save_comparison_figure(tmp_path / "figure.png", flat_images(4), ["a long label " * 30, "b"], ["c " * 80, "d · e"])
    figure = Image.open(tmp_path / "figure.png")
    assert figure.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pixels = np.asarray(figure)
    left = np.nonzero((pixels == [0, 0, 40]).all(2))[1].min()
    assert (pixels[:, :left].min(2) < 128).any()  # the row's title
    assert left < 4 * 160
