import numpy as np
import pytest
from PIL import Image
from torchvision.models import AlexNet_Weights

from dgn.data.imagenet import are_imagenets, class_names, readable, wnids
from dgn.data.sources import image_folder

CATEGORIES = AlexNet_Weights.DEFAULT.meta["categories"]


def test_ids_are_sorted_and_belong_to_the_classes_of_published_networks():
    assert len(wnids()) == len(set(wnids())) == len(set(class_names())) == 1000
    assert list(wnids()) == sorted(wnids())
    names = dict(zip(wnids(), class_names(), strict=True))
    # Imagenette's classes, as its authors name the folders.
    imagenette = {"n01440764": "tench", "n02979186": "cassette player", "n03394916": "French horn"}
    imagenette |= {"n03888257": "parachute", "n03000684": "chain saw", "n03417042": "garbage truck"}
    assert {wnid: names[wnid] for wnid in imagenette} == imagenette
    assert names["n02012849"] != names["n03126707"]  # the bird and the machine, which other lists call crane


def test_folders_get_names_and_those_of_other_classes_do_not_change(tmp_path):
    for wnid in ("n01443537", "n03000684"):
        (tmp_path / wnid).mkdir()
        for i in range(2):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / wnid / f"{i}.png")
    data = image_folder(tmp_path, 8, val_root=tmp_path, num_workers=0)
    assert data.classes == ("goldfish", "chain saw")
    (tmp_path / "n01443537").rename(tmp_path / "n99999999")
    assert image_folder(tmp_path, 8, val_root=tmp_path, num_workers=0).classes == ("n03000684", "n99999999")
    assert readable(()) == ()


@pytest.mark.parametrize(
    "spelled",
    [
        CATEGORIES,
        [f"{name.upper()}, {name}us vulgaris" for name in CATEGORIES],
        [name.replace(" ", "_") if i % 3 else f"unknown {i}" for i, name in enumerate(CATEGORIES)],
        list(wnids()),
    ],
)
def test_labels_of_a_thousand_classes_are_recognized_whatever_their_spelling(spelled):
    assert readable(spelled) == class_names()
    assert are_imagenets(readable(spelled)[3:9])


def test_other_labels_stay():
    alphabetical = sorted(CATEGORIES)  # another order is not ImageNet's
    assert readable(alphabetical) == tuple(alphabetical)
    assert readable(["cat", "dog"]) == ("cat", "dog")
    assert not are_imagenets(["tench", "my own"])
    assert not are_imagenets([])
