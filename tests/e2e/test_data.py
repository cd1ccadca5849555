"""A user's own folder of pictures, from a classifier to a gallery, with a broken file and every kind of cache."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from dgn.prior import Prior

pytestmark = pytest.mark.e2e


@pytest.fixture
def pictures(tmp_path):
    root, noise = tmp_path / "pictures", np.random.default_rng(0)
    for i in range(120):
        path = root / ("newt", "auk")[i % 2] / f"{i:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(256, size=(40, 48, 3), dtype=np.uint8)).save(path)
    (root / "auk" / "055.jpg").write_bytes(b"\xff\xd8\xff and no more")
    return root


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_class_names_go_from_the_folder_to_the_gallery(user, pictures, cache):
    data = ["data=image_folder", f"data.root={pictures}", "data.image_size=32", f"data.cache={cache}"]
    data += ["data.num_workers=0", "data.val_images=4", "data.batch_size=32", "trainer.accelerator=cpu"]
    data += ["trainer.precision=32-true"]
    out, _ = user.run("train.py", "task=encoder", *data, "trainer.max_steps=5", "hydra.run.dir=mine")
    assert out.count("055.jpg") == 1
    assert "1 of the 114 " in out
    small = ["generator.width=0.05", "discriminator.channels=8", "statistics.images=16", "trainer.max_steps=2"]
    user.run("train.py", *data, *small, "encoder.weights=mine/encoder.safetensors", "hydra.run.dir=prior")
    prior = Prior.load(user.folder / "prior" / "prior.safetensors")
    assert prior.about["data"]["classes"] == ["auk", "newt"]
    settings = ["units=fc8:newt", "seeds=1", "steps=2", "reference_images=8", "device=cpu"]
    out, _ = user.run("visualize.py", "prior=prior", *settings)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    (row,) = csv.DictReader((folder / "results.csv").open())
    assert (row["label"], row["unit"]) == ("newt", "1")
    assert 0 <= float(row["percentile"]) <= 100
    assert json.loads((folder / "results.json").read_text())


def test_too_many_broken_files_end_the_run_in_one_line(user, pictures):
    for name in ("auk/001.jpg", "auk/003.jpg", "newt/010.jpg"):
        (pictures / name).write_bytes(b"")
    settings = ["data=image_folder", f"data.root={pictures}", "data.image_size=32", "data.num_workers=2"]
    _, err = user.run("train.py", "task=encoder", *settings, "trainer.max_steps=9", "trainer.accelerator=cpu", status=2)
    (line,) = (line for line in err.splitlines() if line.startswith("error"))
    assert "cannot be read, more than 1%" in line
    assert "Traceback" not in err
