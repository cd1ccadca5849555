import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.report.run_comparison import Entry, cell, write_comparison


@pytest.fixture
def entries(tmp_path):
    red, green = (torch.zeros(3, 3, 96, 96) for _ in range(2))
    red[:, 0], green[:, 1] = 1, 1
    return [
        Entry(
            "layer=fc6", tmp_path / "0", settings={"layer": "fc6"}, numbers={"val/psnr": 16.5, "loss": 2.0}, images=red
        ),
        Entry("layer=<b>", tmp_path / "1", "failed", "no layer '<b>'", {"layer": "<b>"}),
        Entry(
            "layer=fc7",
            tmp_path / "2",
            settings={"layer": "fc7"},
            numbers={"val/psnr": 17.5, "loss": 3.0},
            images=green,
        ),
    ]


def written(entries, folder: Path) -> str:
    page = write_comparison(folder, entries, ["a", "b", "c"], 1, "T", "S", "N", {"val/psnr": True, "loss": False})
    return page.read_text()


def test_the_table_has_a_line_a_run(entries, tmp_path):
    written(entries, tmp_path / "comparison")
    rows = list(csv.DictReader((tmp_path / "comparison" / "comparison.csv").open()))
    assert [row["run"] for row in rows] == [entry.name for entry in entries]
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert [row["val/psnr"] for row in rows] == ["16.5", "", "17.5"]
    assert rows[1]["error"] == "no layer '<b>'"
    assert [row["folder"] for row in rows] == ["../0", "../1", "../2"]


def test_the_page_marks_the_best_and_escapes_what_it_shows(entries, tmp_path):
    page = written(entries, tmp_path / "comparison")
    assert page.count('class="best"') == 2
    assert 'class="best">17.5' in page
    assert 'class="best">2<' in page
    assert "<b>" not in page
    assert "no layer &#39;&lt;b&gt;&#39;" in page
    assert "http" not in page


def test_the_figures_columns_are_the_runs_and_its_rows_the_units(entries, tmp_path):
    written(entries, tmp_path / "comparison")
    pixels = np.asarray(Image.open(tmp_path / "comparison" / "comparison.png"))
    red, green = (np.nonzero((pixels == colour).all(2)) for colour in ([255, 0, 0], [0, 255, 0]))
    assert red[1].max() < green[1].min()
    assert len(np.unique(red[0])) == len(np.unique(green[0])) == 3 * len(np.unique(red[1]))


def test_priors_of_several_sizes_are_shown_alike(entries, tmp_path):
    entries[2].images = torch.rand(3, 3, 32, 32)
    written(entries, tmp_path / "comparison")
    assert Image.open(tmp_path / "comparison" / "comparison.png").height < 5 * 192


def test_runs_without_pictures_are_a_table(entries, tmp_path):
    for entry in entries:
        entry.images = None
    page = written(entries, tmp_path / "comparison")
    assert "comparison.png" not in page
    assert not (tmp_path / "comparison" / "comparison.png").exists()


def test_numbers_are_as_long_as_they_need_to_be():
    assert [cell(v) for v in (None, 3, 1234567, 0.123456, 688.7265, 16.0)] == [
        "–",
        "3",
        "1\u202f234\u202f567",
        "0.123",
        "688.7",
        "16",
    ]
