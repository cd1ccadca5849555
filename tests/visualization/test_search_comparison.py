"""Galleries are measured alike and ranked, whatever the sizes of their images."""

import json

import pytest
import torch

from dgn.data.images import save_png
from dgn.report.run_comparison import Entry
from dgn.visualization.search_comparison import compare_searches, rank


class RankingMetrics:
    """Measures the mean of the images."""

    def measure(self, images, wanted):
        return {"frechet_distance": float(images.mean()), "recognition": len(wanted) / 10}

    def describe(self):
        return "Measured by their mean."


def gallery(folder, values, sizes):
    rows = []
    for i, (value, size) in enumerate(zip(values, sizes, strict=True)):
        save_png(torch.full((3, size, size), value), folder / f"{i}.png")
        rows.append(
            {"image": f"{i}.png", "label": f"unit {i}", "objective": f"fc:{i}", "seed": 0, "percentile": i * 10}
        )
    (folder / "results.json").write_text(json.dumps({"settings": {"search_seconds": 2.5}, "results": rows}))
    return Entry(folder.name, folder)


def test_the_nearest_to_real_images_is_first_and_images_of_several_sizes_are_taken(tmp_path):
    for name in ("far", "near"):
        (tmp_path / name).mkdir()
    far = gallery(tmp_path / "far", [0.8, 0.8], [16, 16])
    near = gallery(tmp_path / "near", [0.2, 0.2], [16, 24])
    failed = Entry("failed", tmp_path / "failed", "failed", "no")
    page, titles = compare_searches([far, failed, near], lambda *_: RankingMetrics(), tmp_path / "out")
    assert page.is_file()
    assert titles == ["unit 0", "unit 1"]
    assert near.numbers["rank"] < far.numbers["rank"]
    assert near.numbers["percentile"] == pytest.approx(5)
    assert near.numbers["seconds"] == 2.5
    assert near.images.shape == (2, 3, 24, 24)
    names = [line.split(",")[0] for line in (tmp_path / "out" / "comparison.csv").read_text().splitlines()[1:]]
    assert names == ["near", "far", "failed"]


def test_the_rank_is_the_mean_of_both_ranks():
    entries = [Entry(str(i), None) for i in range(3)]
    for entry, frechet, recognition in zip(entries, (1.0, 2.0, 3.0), (0.2, 0.9, 0.9), strict=True):
        entry.numbers = {"frechet_distance": frechet, "recognition": recognition}
    rank(entries)
    assert [entry.numbers["rank"] for entry in entries] == [2.0, 1.5, 2.0]
