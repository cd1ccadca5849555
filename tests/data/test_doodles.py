import json
import subprocess
import sys
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.doodles import CLASSES, FACETS, Doodles, draw
from dgn.data.doodles.paint import paint
from dgn.data.doodles.pen import Dice, Sketch
from dgn.data.doodles.plan import Composition, plan
from dgn.data.doodles.scene import choose_scene
from dgn.errors import UserError


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).reduce(image.shape[0] // size), dtype=np.float32)


def test_there_are_sixteen_classes_of_at_least_two_facets_each():
    assert len(CLASSES) == len(set(CLASSES)) == 16
    assert set(FACETS) == set(CLASSES)
    assert all(len(set(facets)) >= 2 for facets in FACETS.values())


def test_a_picture_is_a_function_of_seed_split_and_index_in_any_order():
    forwards = [draw(3, "train", i).image for i in range(20)]
    backwards = [draw(3, "train", i).image for i in reversed(range(20))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    first = draw(3, "train", 7)
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8
    assert first.factors == draw(3, "train", 7, size=32).factors


def test_another_process_draws_the_same_bytes():
    script = (
        "import zlib, json; from dgn.data.doodles import draw\n"
        "d = [draw(5, 'val', i) for i in range(16)]\n"
        "print(json.dumps([[zlib.crc32(x.image.tobytes()), x.facet, x.factors] for x in d]))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = [draw(5, "val", i) for i in range(16)]
    assert json.loads(run.stdout) == [[zlib.crc32(x.image.tobytes()), x.facet, x.factors] for x in here]


@pytest.mark.parametrize("other", [(0, "val", 5), (0, "test", 5), (1, "train", 5), (0, "train", 21)])
def test_split_seed_and_index_each_change_the_picture(other):
    assert not np.array_equal(draw(0, "train", 5).image, draw(*other).image)


def test_labels_are_balanced_in_any_whole_number_of_rounds():
    data = Doodles("train", 32, size=64)
    assert Counter(data[i][1] for i in range(64)) == dict.fromkeys(range(16), 4)


def test_facets_are_all_seen_and_cost_no_drawing():
    data = Doodles("test", size=800)
    facets = data.facets()
    assert len(facets) == 800
    for label, name in enumerate(CLASSES):
        assert set(facets[label::16]) == set(FACETS[name])
    assert all(draw(0, "test", i).facet == facets[i] for i in range(0, 800, 41))


def test_a_picture_is_the_same_at_every_size():
    for index in range(32):
        at_64 = draw(0, "val", index, 64).image
        for size in (128, 256) if index % 4 == 0 else (256,):
            assert np.abs(_shrink(draw(0, "val", index, size).image, 64) - at_64).mean() < 3
        at_32 = draw(0, "val", index, 32).image
        assert np.abs(_shrink(at_64, 32) - at_32).mean() < 4


def _on_its_own(sketch: Sketch, corners: np.ndarray, **changes) -> Composition:
    scene = choose_scene(Dice(np.random.default_rng(0)), ("plain",), (0, 0, 0), 1.0)
    still = {"background": "plain", "colours": ((1, 1, 1),) * 3, "shadow": "none", "texture": "smooth", "relief": 0}
    even = {"light_strength": 0, "brightness": 1, "warmth": 0}
    return Composition(sketch, corners, (0, 0, 1, 1), type(scene)(**{**vars(scene), **still, **even, **changes}), {})


def test_edges_are_anti_aliased():
    sketch = Sketch()
    sketch.polygon([(0.2, 0.2), (0.8, 0.31), (0.5, 0.83)], (0, 0, 0))
    grey = paint(_on_its_own(sketch, sketch.outlines[0]), 64)[:, :, 0]
    between = (grey > 20) & (grey < 235)
    assert grey.min() == 0
    assert grey.max() == 255
    assert 60 < between.sum() < 400  # about one or two pixels along a perimeter of 112
    assert len(np.unique(grey)) > 6


def test_a_hole_shows_the_background():
    sketch = Sketch()
    sketch.rect(0.1, 0.1, 0.9, 0.9, (1, 0, 0))
    sketch.rect(0.4, 0.4, 0.6, 0.6, sketch.erase)
    image = paint(_on_its_own(sketch, np.concatenate(sketch.outlines)), 64)
    assert image[32, 32].tolist() == [255, 255, 255]
    assert image[16, 16].tolist() == [255, 0, 0]


def test_factors_are_json_and_the_same_with_and_without_painting():
    data = Doodles("train", size=64, seed=2)
    for index in range(64):
        description = data.describe(index)
        assert json.loads(json.dumps(description)) == description
        drawn = draw(2, "train", index, 32)
        assert description["factors"] == drawn.factors
        assert (description["label"], description["facet"]) == (drawn.label, drawn.facet)
        assert description["class"] == CLASSES[drawn.label]
        assert all(type(value) in (float, str) for value in description["factors"].values())


def test_position_size_and_truncation_are_those_of_the_thing_drawn():
    for index in range(160):
        label = index % 16
        facet = FACETS[CLASSES[label]][0]
        what = plan(CLASSES[label], facet, Dice(np.random.default_rng(index)))
        f, (low, high) = what.factors, (what.points.min(0), what.points.max(0))
        np.testing.assert_allclose((low + high) / 2, (f["x"], f["y"]), atol=1e-6)
        np.testing.assert_allclose(high - low, (f["width"], f["height"]), atol=1e-6)
        assert max(f["width"], f["height"]) == pytest.approx(f["scale"])
        beyond = np.maximum([-low[0], -low[1], high[0] - 1, high[1] - 1], 0)
        shares = dict(zip(("left", "top", "right", "bottom"), beyond / np.tile(high - low, 2), strict=True))
        assert max(shares.values()) == pytest.approx(f["truncation"], abs=1e-6)
        if f["truncated_side"] != "none":
            assert shares[f["truncated_side"]] == pytest.approx(f["truncation"], abs=1e-6)


def test_about_a_tenth_is_partly_out_of_frame_and_never_by_much():
    data = Doodles("train", size=800)
    cut = [data.describe(i)["factors"]["truncation"] for i in range(800)]
    assert 0.06 < np.mean(np.array(cut) > 0) < 0.14
    assert max(cut) <= 0.25


def test_factors_vary():
    data = Doodles("train", size=480)
    factors = [data.describe(i)["factors"] for i in range(480)]
    for key, kinds in {"background": 11, "shadow": 3, "texture": 3, "mirrored": 2, "truncated_side": 5}.items():
        assert len({f[key] for f in factors}) == kinds
    for key in ("x", "y", "scale", "rotation", "hue", "light_angle", "brightness"):
        assert len({f[key] for f in factors}) > 400
    assert 0.5 < min(f["scale"] for f in factors) < 0.75
    assert max(f["scale"] for f in factors) <= 1


def test_the_thing_stands_out_from_its_background():
    for index in range(64):
        image = draw(1, "train", index).image
        assert image.reshape(-1, 3).std(0).mean() > 12


def test_the_dataset_gives_channels_first_bytes_and_a_label():
    data = Doodles("val", image_size=32, size=20, seed=4)
    image, label = data[18]
    assert len(data) == 20
    assert data.classes == CLASSES
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert label == 2
    assert np.array_equal(image.permute(1, 2, 0).numpy(), draw(4, "val", 18, 32).image)
    assert torch.equal(data[-1][0], data[19][0])
    with pytest.raises(IndexError):
        data[20]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, "training", 0), ["training", "train, val, test"]),
        ((0, "train", 0, 16), ["16", "32 to 256"]),
        ((0, "train", 0, 512), ["512", "32 to 256"]),
        ((0, "train", -1), ["-1"]),
    ],
)
def test_errors_name_the_wrong_value_and_the_right_ones(arguments, words):
    with pytest.raises(UserError) as error:
        draw(*arguments)
    assert all(word in str(error.value) for word in words)


def test_the_dataset_checks_its_arguments_at_once():
    with pytest.raises(UserError, match="train, val, test"):
        Doodles("validation")
    with pytest.raises(UserError, match="32 to 256"):
        Doodles("train", image_size=300)
    with pytest.raises(UserError, match="at least 1"):
        Doodles("train", size=0)
