"""A method called from Python finds the images that visualize.py finds."""

import csv

import pytest
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from dgn import Prior, methods
from dgn.data.images import save_png

pytestmark = pytest.mark.e2e
NAMES = ("dgn_am_short", "olah2017", "mfv2016")
SETTINGS = ("units=fc8:house,conv3:2", "seeds=[0,3]", "seed=5", "judge=none", "top_images=0", "nearest=[]")


def from_command_line(user, *arguments):
    """{method: images} of a gallery, in the order of its rows."""
    out, _ = user.run("visualize.py", *SETTINGS, *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    images = {}
    for row in csv.DictReader((folder / "results.csv").open()):
        images.setdefault(row["method"], []).append(pil_to_tensor(Image.open(folder / row["image"])))
    return images


def same(images, preferred, folder):
    for number, (shown, image) in enumerate(zip(images, preferred.images, strict=True)):
        path = folder / f"{number}.png"
        save_png(image, path)
        assert (pil_to_tensor(Image.open(path)) == shown).all()


@pytest.mark.slow
def test_the_images_are_those_of_the_command_line(trained, tmp_path, monkeypatch):
    user, path, _ = trained
    monkeypatch.setenv("DGN_CACHE", user.environment["DGN_CACHE"])
    prior = Prior.load(user.folder / path)
    for name in NAMES:
        shown = from_command_line(user, f"method={name}", "steps=6", f"prior={path}")
        preferred = getattr(methods, name)(prior, "fc8:house,conv3:2", seeds=[0, 3], steps=6, seed=5)
        same(shown[name], preferred, tmp_path)
        assert (preferred.images[0] != preferred.images[1]).any()


@pytest.mark.slow
def test_settings_and_starts_are_those_of_the_command_line(trained, tmp_path, monkeypatch):
    user, path, _ = trained
    monkeypatch.setenv("DGN_CACHE", user.environment["DGN_CACHE"])
    photo = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((90, 70)).save(photo)
    prior = Prior.load(user.folder / path)
    changes = ("method.update.first=3", "method.regularizers.l2.factor=0.95")
    for start, given in (("noise", "noise"), (photo, photo), (photo, Image.open(photo))):
        shown = from_command_line(user, "method=dgn_am", "steps=4", f"prior={path}", f"start={start}", *changes)
        preferred = methods.dgn_am(
            prior, "fc8:house,conv3:2", seeds=[0, 3], steps=4, seed=5, start=given,
            update={"first": 3}, regularizers={"l2": {"factor": 0.95}},
        )  # fmt: skip
        same(shown["dgn_am"], preferred, tmp_path)
