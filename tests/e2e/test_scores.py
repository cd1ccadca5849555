"""What visualize.py says of its images beyond recognition: starts, predictive power, path similarity."""

import csv
import json

import pytest
from PIL import Image

pytestmark = pytest.mark.e2e

QUICK = ["steps=2", "reference_images=64", "nearest=[]", "nearest_images=8", "top_images=0", "predictive.tasks=4"]
OTHER = ["similarity=mini_resnet", "similarity.net.width=8", "similarity.net.weights=null", "similarity.net.classes=10"]


def scored(user, *arguments: str):
    out, _ = user.run("visualize.py", *QUICK, *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    read = [list(csv.DictReader((folder / name).open())) for name in ("scores.csv", "results.csv")]
    return folder, *read


def test_a_search_from_real_images_stands_beside_its_start(trained):
    user, _, _ = trained
    asked = ["method=dgn_am_short", "judge=none", *OTHER, "start=real", "units=fc8:0-3", "seeds=2"]
    folder, scores, rows = scored(user, *asked)
    assert [(row["method"], row["start"]) for row in scores] == [
        ("dgn_am_short", "real"),
        ("dgn_am_short: start, not searched", "real"),
        ("real images", ""),
    ]
    assert list(scores[0])[5] == "2afc"  # after method, prior, start, units and images
    for figure in ("2afc", "mis", "paths"):
        assert all(row[figure] for row in scores)
    gains = [float(row["activation"]) - float(row["start_activation"]) for row in rows]
    assert float(scores[0]["gain"]) == pytest.approx(sum(gains) / len(gains), abs=1e-4)
    assert float(scores[1]["activation"]) == pytest.approx(
        sum(float(row["start_activation"]) for row in rows) / len(rows), abs=1e-3
    )
    assert {row["start"] for row in rows} == {"real"}
    assert all(-1 <= float(row["image_correlation_with_start"]) <= 1 for row in rows)
    page = (folder / "units" / "fc8-0.html").read_text()
    assert "start, from real images" in page
    assert len(list((folder / "starts").glob("*.png"))) > 1
    overview = (folder / "index.html").read_text()
    assert "Searches of dgn_am_short started from real images." in overview
    assert "path similarity" in overview.lower()


def test_methods_are_compared_from_noise_unless_asked(trained):
    user, _, _ = trained
    common = ["judge=none", "similarity=none", "method=[dgn_am,dgn_am_short,pixels]", "units=fc8:0", "seeds=1"]
    _, scores, rows = scored(user, *common)
    assert [row["start"] for row in scores][:3] == ["noise"] * 3
    assert {row["start"] for row in rows} == {"noise"}
    assert "2afc" not in scores[0]
    _, scores, _ = scored(user, *common, "start=own")
    assert [row["start"] for row in scores] == ["noise", "real", "noise", "real", ""]  # the fourth: the second's start


def test_hidden_units_have_every_figure_that_needs_no_label(trained):
    user, _, _ = trained
    causal = ["predictive.causal=true", "predictive.minimize=false"]
    _, scores, _ = scored(user, "judge=none", *OTHER, *causal, "units=conv3:0-2", "seeds=2", "start=noise")
    for figure in ("2afc", "mis", "causal", "paths", "gain", "diversity_pixels"):
        assert scores[0][figure], figure
    assert "top1" not in scores[0]


def test_searches_from_another_class_are_counted_by_the_judge(trained):
    user, _, _ = trained
    judge = ["judge=mini_resnet", "judge.width=8", "judge.weights=null", "judge.classes=16", "similarity=none"]
    folder, scores, _ = scored(user, *judge, "units=fc8:0-2", "seeds=2", "wrong_class_start=true")
    assert scores[0]["wrong_class_start"] == "" or 0 <= float(scores[0]["wrong_class_start"]) <= 1
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert settings["wrong_class_start"] is True


def test_a_contact_sheet_says_what_began_at_real_images(trained):
    user, _, _ = trained
    common = ["judge=none", "similarity=none", "units=fc8:0-1", "seeds=1"]
    heights = []
    for start in ("noise", "real"):
        folder, _, _ = scored(user, *common, f"start={start}")
        heights.append(Image.open(folder / "contact_sheet.png").height)
    assert heights[1] > heights[0]  # a line of captions


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("predictive.tasks=-1", "predictive.tasks=-1: give a number of pairs of real images"),
        ("predictive.minimize=5", "predictive.minimize=5: give true or false"),
        ("wrong_class_start=maybe", "wrong_class_start=maybe: give true or false"),
        ("wrong_class_start=true", "wrong_class_start=true needs a judge"),
    ],
)
def test_wrong_settings_are_one_line(trained, argument, message):
    user, _, _ = trained
    _, err = user.run("visualize.py", *QUICK, "judge=none", "units=fc8:0-1", "seeds=1", argument, status=2)
    assert message in err
    assert "Traceback" not in err


def test_the_target_cannot_be_its_own_similarity(trained):
    """The judge's check: a network of the same weights would only repeat what the target says."""
    user, path, _ = trained
    same = ["similarity=mini_caffenet", "similarity.net.weights=null", "similarity.net.classes=16"]
    _, err = user.run("visualize.py", *QUICK, f"prior={path}", "judge=none", *same, status=2)
    assert "the similarity mini_caffenet (" in err
    assert "weight tensors with the target" in err
    assert "Traceback" not in err
