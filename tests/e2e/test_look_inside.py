"""visualize.py image=...: what a network sees in images, as a user asks for it."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from dgn.visualization.view_store import ViewStore

pytestmark = pytest.mark.e2e
FAST = (
    *("threads=1", "curve_steps=3", "attributions.integrated_gradients.steps=2", "attributions.occlusion.patch=32"),
    *("channels=1", "view_layers=[conv2,fc8]", "steps=1", "reference_images=16"),
)


def table(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_an_image_is_explained_by_several_methods(trained, tmp_path):
    user, prior, _ = trained
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    asked = (f"image=[{tmp_path / 'a.png'},doodle:3]", "units=[conv5:3,fc8:1]")
    out, _ = user.run("visualize.py", f"prior={prior}", f"hydra.run.dir={tmp_path / 'run'}", *asked, *FAST)
    assert out.strip().splitlines()[-1] == str(tmp_path / "run" / "index.html")
    rows = table(tmp_path / "run")
    methods = ["saliency", "guided_backprop", "occlusion", "integrated_gradients", "gradcam", "centre", "random"]
    assert [row["method"] for row in rows] == methods * 4
    assert list(dict.fromkeys(row["image"] for row in rows)) == ["a.png", "doodle 3"]
    assert all(row["deletion_area"] and row["insertion_area"] for row in rows)
    maps = sorted((tmp_path / "run" / "maps").glob("*.npy"))
    assert len(maps) == 5 * 4
    assert {np.load(path).shape for path in maps} == {(64, 64)}
    pages = sorted((tmp_path / "run" / "activations").glob("*.html"))
    assert [page.stem.partition("--")[0] for page in pages] == ["000-a.png", "001-doodle-3"]
    assert pages[0].read_text().count("preferred image of conv2:") == 1
    masks = [Image.open(path) for path in (tmp_path / "run" / "masks").iterdir()]
    assert {mask.mode for mask in masks} == {"RGBA"}


def test_preferred_images_are_explained_with_their_own_units(trained, tmp_path):
    user, prior, _ = trained
    gallery = (
        "units=fc8:1,fc8:4",
        "seeds=1",
        "steps=1",
        "start=noise",
        "reference_images=0",
        "judge=none",
        "threads=1",
    )
    user.run("visualize.py", f"prior={prior}", f"hydra.run.dir={tmp_path / 'gallery'}", *gallery)
    asked = (f"image={tmp_path / 'gallery'}", "attributions=[saliency]", "curve_steps=0", "channels=0", "threads=1")
    user.run("visualize.py", f"prior={prior}", f"hydra.run.dir={tmp_path / 'run'}", *asked)
    assert [row["unit"] for row in table(tmp_path / "run")] == ["fc8:1", "fc8:4"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("image=missing.png",), "no image file missing.png"),
        (("image=doodle:3", "at=top"), "at=top: give peak"),
        (("image=doodle:3", "units=fc9:1"), "no layer 'fc9'"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(trained, tmp_path, asked, message):
    user, prior, _ = trained
    _, err = user.run("visualize.py", f"prior={prior}", f"hydra.run.dir={tmp_path / 'run'}", *asked, status=2)
    assert message in err
    assert "Traceback" not in err


def test_the_views_of_a_network_are_pages(trained, tmp_path):
    user, prior, _ = trained
    for view, files, asked in (
        ("layers", ["filters.png", "layers.csv"], []),
        ("patches", ["patches/conv2-1.png", "deconvolutions/conv2-1.png"], ["units=conv2:0-1"]),
        ("embedding", ["grid.png", "thumbs.png", "embedding.csv"], ["units=fc8:1", "embedding.perplexity=4"]),
    ):
        run = tmp_path / view
        common = (f"prior={prior}", f"hydra.run.dir={run}", "threads=1", "reference_images=24")
        out, _ = user.run("visualize.py", f"view={view}", *common, *asked)
        assert out.strip().splitlines()[-1] == str(run / "index.html")
        assert all((run / file).is_file() for file in files)
    with (tmp_path / "layers" / "layers.csv").open() as file:
        assert [row["layer"] for row in csv.DictReader(file)][-1] == "fc8"


def test_an_unknown_view_is_refused(trained, tmp_path):
    user, prior, _ = trained
    _, err = user.run("visualize.py", f"prior={prior}", "view=filters", f"hydra.run.dir={tmp_path}", status=2)
    assert "view=filters: give preferred, image, layers, embedding, patches" in err


VIEWS = {
    "image": (("image=doodle:3", "attributions=[saliency]", "curve_steps=2"), "explained-00000"),
    "layers": (("view=layers",), "statistics"),
    "patches": (("view=patches", "units=conv2:0-33"), "patches-00032"),
    "embedding": (("view=embedding", "units=none", "embedding.perplexity=4"), "places"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_is_stopped_goes_on_after_what_is_finished(trained, tmp_path, view, monkeypatch):
    user, prior, _ = trained
    asked, last = VIEWS[view]
    run, whole = tmp_path / "run", tmp_path / "whole"
    common = (f"prior={prior}", "threads=1", "reference_images=130", "channels=0", *asked)
    monkeypatch.setattr(sys.modules["dgn.inspection.layer_statistics"], "_EVERY", 0)
    add, added = ViewStore.add, []

    def stopping(store, name, part):
        add(store, name, part)
        added.append(name)
        if name == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(ViewStore, "add", stopping)
    _, err = user.run("visualize.py", *common, f"hydra.run.dir={run}", status=130)
    assert f"resume={run}" in err
    assert not (run / "index.html").exists()
    first = list(added)
    added.clear()
    monkeypatch.setattr(ViewStore, "add", lambda store, name, part: (add(store, name, part), added.append(name)))
    user.run("visualize.py", f"resume={run}")
    assert not set(added) & (set(first) - {"statistics"})  # sums grow; nothing else is made twice
    assert len(added) < len(first) + 2
    assert not (run / "searches").exists()
    user.run("visualize.py", *common, f"hydra.run.dir={whole}")
    for file in whole.rglob("*.csv"):
        assert (run / file.relative_to(whole)).read_text() == file.read_text()


def test_views_are_logged(trained, tmp_path, wandb_runs):
    user, prior, _ = trained
    user.environment["HOME"] = str(tmp_path)
    user.environment.pop("WANDB_API_KEY", None)
    logged = ("logger=[wandb,csv]", "threads=1", "reference_images=24", "channels=0", f"prior={prior}")
    image = ("image=doodle:3", "attributions=[saliency,occlusion]", "curve_steps=2", "top_classes=1")
    user.run("visualize.py", *logged, *image, f"hydra.run.dir={tmp_path / 'image'}")
    (tracked,) = wandb_runs(tmp_path / "image")
    assert tracked.run.job_type == "visualize"
    assert tracked.values("maps/saliency")[0]["count"] == 1
    area = table(tmp_path / "image")[0]["deletion_area"]
    assert tracked.values("deletion/saliency") == [pytest.approx(float(area))]
    (kept,) = tracked.values("attributions")
    rows = json.loads((tracked.folder / "files" / kept["path"]).read_text())
    methods = [row[rows["columns"].index("method")] for row in rows["data"]]
    assert methods == ["saliency", "occlusion", "centre", "random"]
    (artifact,) = [artifact for artifact in tracked.artifacts if artifact.type == "run_table"]
    assert len([entry for entry in artifact.manifest.contents if entry.path.endswith(".png")]) == 2
    user.run("visualize.py", *logged, "view=patches", "units=conv2:0-1", f"hydra.run.dir={tmp_path / 'patches'}")
    (tracked,) = wandb_runs(tmp_path / "patches")
    assert tracked.values("patches")[0]["nrows"] == 2
    assert tracked.values("sheets/conv2")[0]["count"] == 1
