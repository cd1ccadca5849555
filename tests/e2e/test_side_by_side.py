"""visualize.py with several methods and priors, hidden units, facets and films."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgn.prior import Prior
from dgn.prior.code_model import CodeModel

pytestmark = pytest.mark.e2e
QUICK = ["steps=3", "reference_images=96", "judge=none", "nearest=[conv5]"]


def visualized(user, *arguments: str) -> tuple[Path, list[dict[str, str]]]:
    out, _ = user.run("visualize.py", *QUICK, *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    return folder, table(folder / "results.csv")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def compared(trained, tmp_path_factory):
    """Three methods, of which one searches codes, through two priors: four columns."""
    user, path, _ = trained
    copy = tmp_path_factory.mktemp("other") / "second" / "prior.safetensors"
    copy.parent.mkdir()
    shutil.copy(user.folder / path, copy)
    judge = ["judge=mini_resnet", "judge.weights=null", "judge.classes=16"]
    arguments = ["method=[dgn_am,olah2017,pixels]", f"prior=[{user.folder / path},{copy}]", "units=fc8:0-2", "seeds=2"]
    return visualized(user, *arguments, *judge, "logger=wandb", "logger.wandb.mode=offline")


def test_the_table_of_wandb_says_which_prior_each_row_is_of(compared, wandb_runs):
    folder, rows = compared
    (tracked,) = wandb_runs(folder)
    (found,) = tracked.values("preferred")
    stored = json.loads((tracked.folder / "files" / found["path"]).read_text())
    at = stored["columns"].index("prior")
    assert [line[at] for line in stored["data"]] == [row["prior"] for row in rows]
    assert len({line[at] for line in stored["data"]}) == 3  # two, and "" of methods on pixels


def test_every_method_and_prior_has_a_column(compared):
    folder, rows = compared
    columns = list(dict.fromkeys((row["method"], row["prior"]) for row in rows))
    assert [method for method, _ in columns] == ["dgn_am", "dgn_am", "olah2017", "pixels"]
    assert columns[1][1] == "fc6 (second)"
    assert columns[0][1].startswith("fc6 (")
    assert columns[2][1] == columns[3][1] == ""
    assert len(rows) == 4 * 3 * 2
    assert len({row["image"] for row in rows}) == len(rows)
    assert all(Image.open(folder / row["image"]).size == (64, 64) for row in rows)
    page = (folder / "index.html").read_text()
    assert "method=[dgn_am,olah2017,pixels]" in page
    assert "methods=" not in page.split("methods.0")[0]
    assert (folder / "comparison.png").is_file()


def test_the_same_search_through_the_same_prior_finds_the_same(compared):
    _, rows = compared
    first, second = (
        [r["activation"] for r in rows if r["prior"] == p] for p in dict.fromkeys(r["prior"] for r in rows[:12])
    )
    assert first == second


def test_one_table_has_all_methods_and_real_images(compared):
    folder, rows = compared
    scores = table(folder / "scores.csv")
    assert [row["method"] for row in scores] == ["dgn_am", "dgn_am", "olah2017", "pixels", "real images"]
    for score in scores[:4]:
        own = [r for r in rows if (r["method"], r["prior"]) == (score["method"], score["prior"])]
        assert float(score["activation"]) == pytest.approx(np.mean([float(r["activation"]) for r in own]), rel=1e-5)
        assert float(score["nearest_pixels"]) == pytest.approx(
            np.mean([float(r["nearest_pixels"]) for r in own]), rel=1e-5
        )
        assert float(score["frechet"]) > float(scores[-1]["frechet"]) > 0
        assert float(score["activation_low"]) <= float(score["activation"]) <= float(score["activation_high"])
    lines = (folder / "scores.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| dgn_am", "| olah2017", "| pixels", "| real images"]
    assert lines[2].startswith("| dgn_am | noise | 2 of fc6 |")
    differences = table(folder / "differences.csv")
    assert {("dgn_am", "pixels"), ("pixels", "real images")} <= {(d["method"], d["other"]) for d in differences}
    page = (folder / "index.html").read_text()
    assert "Comparison of methods" in page
    assert "real images" in page


def test_settings_of_the_command_line_are_every_methods(trained):
    user, _, _ = trained
    _, rows = visualized(user, "method=[dgn_am,yosinski2015]", "units=fc8:0", "seeds=1", "method.update.last=0.5")
    assert [row["method"] for row in rows] == ["dgn_am", "yosinski2015"]
    assert [row["steps"] for row in rows] == ["3", "3"]


def test_hidden_units_are_shown_with_what_excites_them(trained):
    """Cropped to the receptive field, the preferred and the real images; with masks."""
    user, _, _ = trained
    folder, rows = visualized(
        user, "units=[conv3:7,'conv1:2@4,4',fc6:1]", "seeds=1", "top_images=2", "occlusion.patch=16"
    )
    pages = {
        row["objective"]: next(
            p
            for p in (folder / "units").iterdir()
            if p.stem.startswith(row["objective"].split("@")[0].replace(":", "-"))
        ).read_text()
        for row in rows
    }
    sizes = {Image.open(path).size for path in (folder / "real").iterdir()}
    assert (64, 64) in sizes
    assert min(size[0] for size in sizes) <= 5  # conv1 of MiniCaffeNet sees 5 pixels
    for page in pages.values():
        assert page.count("<img") >= 4
    assert all(float(row["nearest_code"]) > 0 for row in rows)
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert settings["top_images"] == 2


def test_a_search_starts_in_each_facet(trained):
    user, _, _ = trained
    quick = ["units=[fc8:house,conv5:3]", "facets=2", "method=[dgn_am,pixels]", "steps=1"]
    folder, rows = visualized(user, *quick)
    assert [(r["method"], r["objective"], r["facet"]) for r in rows] == [
        (method, objective, facet)
        for method in ("dgn_am", "pixels")
        for objective in ("fc8:0", "conv5:3@4,4")
        for facet in ("facet 1", "facet 2")
    ]
    images = {
        (r["method"], r["objective"], r["facet"]): np.asarray(Image.open(folder / r["image"]), float) for r in rows
    }
    for method in ("dgn_am", "pixels"):
        first, second = (images[method, "fc8:0", f"facet {i}"] for i in (1, 2))
        assert np.abs(first - second).mean() > 1
    found = json.loads((folder / "facets.json").read_text())
    assert -1 <= found["units"]["fc8:0"]["adjusted_rand_index"] <= 1
    assert sum(found["units"]["fc8:0"]["shares"]) == pytest.approx(1, abs=1e-3)
    page = (folder / "units" / "fc8-0.html").read_text()
    assert "facet 2" in page


def test_facets_of_samples_need_no_real_image(trained, tmp_path):
    user, path, _ = trained
    prior = Prior.load(path)
    prior.code_model = CodeModel(prior.principal.count, width=8, blocks=1)
    prior.code_model.std.copy_(prior.principal.std)
    prior.save(tmp_path / "prior.safetensors")
    quick = ["units=[fc8:house,conv5:3]", "facets=2", "facet_source=samples", "facet_samples=60", "reference_images=0"]
    asked = (f"prior={tmp_path / 'prior.safetensors'}", "method=dgn_am", "steps=1", "judge=none")
    folder, rows = visualized(user, *quick, *asked)
    assert [(r["objective"], r["facet"], r["start"]) for r in rows] == [
        (objective, facet, "sampled facets")
        for objective in ("fc8:0", "conv5:3@4,4")
        for facet in ("facet 1", "facet 2")
    ]
    found = json.loads((folder / "facets.json").read_text())
    assert found["units"]["fc8:0"]["of"].startswith("samples of ")
    page = (folder / "units" / "fc8-0.html").read_text()
    assert "start, from samples" in page
    assert 'aria-label="samples nearest to facet 2"' in page


def test_a_search_is_a_film(trained):
    user, _, _ = trained
    folder, _ = visualized(user, "units=fc8:1", "seeds=2", "video=webp", "steps=5", "method=[dgn_am,mfv2016]")
    films = sorted((folder / "films").glob("*/*.webp"))
    assert len(films) == 4
    for film in films:
        assert Image.open(film).n_frames >= 5
    page = next((folder / "units").iterdir()).read_text()
    assert all(film.name in page for film in films)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["method=[dgn_am,dgn_am]"], "twice"),
        (["method=[dgn_am,magic]"], "magic"),
        (["method=[]"], "method=[]"),
        (["facets=0"], "facets=0"),
        (["facets=50"], "reference_images"),
        (["facets=2", "reference_images=0"], "facets=2"),
        (["facets=2", "facet_source=dreams"], "give real"),
        (["facets=2", "facet_source=samples"], "has no code model; fit one with"),
        (["facets=2", "facet_source=samples", "facet_samples=0"], "facet_samples=0"),
        (["video=avi"], "mp4"),
        (["prior=[]"], "prior=[]"),
        (["nearest=[conv9]"], "no layer 'conv9'"),
        (["masks=some"], "masks=some"),
        (["top_images=-1"], "top_images=-1"),
    ],
)
def test_user_errors_are_reported_in_one_line(trained, arguments, says):
    user, _, _ = trained
    _, err = user.run(
        "visualize.py", "steps=1", "judge=none", "reference_images=32", "units=fc8:0", "seeds=1", *arguments, status=2
    )
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert says in lines[0]
