"""Grey images as MNIST's, and wide images of four channels from arrays, from folders to galleries."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from dgn import Prior

CODE = """
from torch import nn

def make(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 3)
    )
"""
TRAIN = (
    "recipe=none", "encoder=custom", "encoder.model=nets.py:make", "encoder.layer=3", "encoder.labels=[a,b,c]",
    "data=image_folder", "data.root=images", "data.num_workers=0", "data.val_fraction=0.2", "data.batch_size=8",
    "statistics.images=16", "generator.width=0.02", "code_model=none", "schedule.warmup=2", "trainer.max_steps=4",
    "trainer.val_check_interval=4", "trainer.accelerator=cpu", "trainer.precision=32-true",
)  # fmt: skip
SHOW = (
    "target=custom", "target.model=nets.py:make", "units=4:a", "seeds=1", "steps=3", "similarity=none",
    "reference_images=16", "nearest_images=2", "predictive.tasks=0", "top_images=1", "device=cpu",
)  # fmt: skip


def make_images(folder: Path, save) -> None:
    random = np.random.default_rng(0)
    (folder / "nets.py").write_text(CODE)
    for name in "abc":
        (folder / "images" / name).mkdir(parents=True)
        for i in range(8):
            save(random, folder / "images" / name / str(i))


def pictures_of(page: str) -> tuple[Path, list[dict[str, str]]]:
    folder = Path(page.strip().splitlines()[-1]).parent
    with (folder / "results.csv").open() as table:
        return folder, list(csv.DictReader(table))


def test_grey_images_and_a_grey_network(user):
    def save(random, path):
        Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(path.with_suffix(".png"))

    make_images(user.folder, save)
    grey = ("+encoder.args.channels=1", "data.channels=1", "data.image_size=28")
    out, _ = user.run("train.py", *TRAIN, *grey)
    prior = Prior.load(out.strip().splitlines()[-1])
    assert prior.image_shape == (1, 28, 28)
    assert prior.decode(prior.sample_units(2)).shape == (2, 1, 28, 28)
    out, _ = user.run("visualize.py", *SHOW, "+target.args.channels=1", "method=[dgn_am_short,olah2017]")
    folder, rows = pictures_of(out)
    assert len(rows) == 2
    for row in rows:
        pixels = np.asarray(Image.open(folder / row["image"]))
        assert pixels.shape == (28, 28, 3)
        assert (pixels == pixels[..., :1]).all()  # grey


def test_wide_images_of_four_channels(user):
    def save(random, path):
        np.save(path.with_suffix(".npy"), random.integers(0, 10001, (24, 40, 4), dtype=np.uint16))

    make_images(user.folder, save)
    wide = ("+encoder.args.channels=4", "data.channels=4", "data.values=[0,10000]", "data.image_size=[24,40]")
    out, _ = user.run("train.py", *TRAIN, *wide, "show.channels=pca")
    prior = Prior.load(out.strip().splitlines()[-1])
    assert prior.image_shape == (4, 24, 40)
    assert prior.about["encoder"]["spec"]["channels"] == 4
    methods = "method=[dgn_am_short,maco2023]"
    out, _ = user.run("visualize.py", *SHOW, "+target.args.channels=4", methods, "show.channels=[3,0,1]")
    folder, rows = pictures_of(out)
    assert len(rows) == 2
    for row in rows:
        exact = np.load((folder / row["image"]).with_suffix(".npy"))
        assert exact.shape == (4, 24, 40)
        shown = np.asarray(Image.open(folder / row["image"])).transpose(2, 0, 1)
        np.testing.assert_array_equal(shown, np.round(exact[[3, 0, 1]] * 255).astype(np.uint8))
    _, err = user.run("train.py", *TRAIN, "+encoder.args.channels=1", *wide[1:], status=None)
    assert "images of 4 channels do not enter a network that takes 1 channel (grey)" in err
