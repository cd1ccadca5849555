"""What a notebook user types first."""

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.algebra import direction
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.fourier import Fourier, Phase
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.methods import dgn_am
from dgn.metrics import diversity
from dgn.metrics.facet_recognition import facet_coverage, fit_facet_judge
from dgn.metrics.features import extract_features
from dgn.metrics.occlusion import discrepancy
from dgn.metrics.recognition import judge_images, recognize
from dgn.metrics.top_images import at_input, top_images
from dgn.prior import Prior


def test_units_as_text_and_seeds_as_a_number(prior):
    expected = dgn_am(prior, parse_units("4:house,4:1", prior.encoder_net()), seeds=range(3), steps=2)
    for units in ("4:house,4:1", ["4:house", "4:1"], ["4:house", *parse_units("4:1", prior.encoder_net())]):
        torch.testing.assert_close(dgn_am(prior, units, seeds=3, steps=2).images, expected.images)
    one = dgn_am(prior, parse_units("4:1", prior.encoder_net())[0], seeds=1, steps=2)
    torch.testing.assert_close(one.images[0], expected.images[3])
    with pytest.raises(UserError, match="seeds"):
        dgn_am(prior, "4:1", seeds=[0.5], steps=2)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_searches_need_no_gradient_mode_of_the_caller(prior, target, mode, tmp_path):
    expected = dgn_am(prior, "4:1", seeds=2, steps=3)
    prior.save(tmp_path / "prior.safetensors")
    with mode():
        found = dgn_am(prior, "4:1", seeds=2, steps=3)
        loaded = Prior.load(tmp_path / "prior.safetensors")
        loaded.offer(target)
        again = dgn_am(loaded, "4:1", target, seeds=2, steps=3)
        along = direction("4", torch.rand(4))
        pixels = maximize(target, along, Stage(Pixels(Setting(target)), NormalizedAscent, steps=2))
    torch.testing.assert_close(found.images, expected.images)
    torch.testing.assert_close(again.images, expected.images)
    assert found.activations.isfinite().all()
    assert pixels.curve[1] > pixels.curve[0]


def takers(prior, target, photos):
    """Every public function that takes images, as a function of images that gives tensors or numbers."""
    units = parse_units("4:1", target)
    setting = Setting(target, prior, images=lambda count: iter(photos[:count].split(8)))
    facets = fit_facet_judge(target, photos, ["a", "b"] * 10, layer="3")
    groups = ["x"] * 10 + ["y"] * 10
    watched = parse_units("1:0@0,0", target)[0].terms[0][1]
    phase = Phase(setting)
    return {
        "encode": prior.encode,
        "FeatureNet": lambda images: target(images, ["4"])["4"],
        "dgn_am": lambda images: dgn_am(prior, units, steps=1, start=images).images,
        "objective_values": lambda images: objective_values(target, units, images),
        "extract_features": lambda images: extract_features(target, images),
        "judge_images": lambda images: torch.tensor([v.probability for v in judge_images(target, images)]),
        "recognize": lambda images: torch.tensor([p for _, p in recognize(target, images)]),
        "diversity": lambda images: diversity.diversity(images, groups, diversity.pixels)["x"],
        "diversity in features": lambda images: diversity.diversity(images, groups, diversity.features(target))["y"],
        "pixels": lambda images: diversity.pixels(images),
        "perceptual": diversity.perceptual(target, ["1"]),
        "top_images": lambda images: top_images(target, [watched], images, k=3)[0].values,
        "at_input": lambda images: at_input(target, images),
        "discrepancy": lambda images: discrepancy(target, images, [watched] * 20, [(0, 0)] * 20, patch=6, stride=6),
        "facet judge": lambda images: torch.from_numpy(facets.probabilities(images)),
        "facet_coverage": lambda images: len(
            facet_coverage(target, {"house": facets}, images, ["house"] * 20).shown["house"]["a"]
        ),
        "Pixels.encode": Pixels(setting).encode,
        "Fourier.encode": Fourier(setting).encode,
        "Phase.encode": lambda images: torch.polar(torch.ones(()), phase.encode(images)),
        "Code.encode": Code(setting).encode,
    }


NAMES = [
    "encode", "FeatureNet", "dgn_am", "objective_values", "extract_features", "judge_images", "recognize", "diversity",
    "diversity in features", "pixels", "perceptual", "top_images", "at_input", "discrepancy",
    "facet judge", "facet_coverage", "Pixels.encode", "Fourier.encode", "Phase.encode", "Code.encode",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_one_image_without_a_batch_is_refused_wherever_images_are_taken(prior, target, photos, name):
    take = takers(prior, target, photos)[name]
    with pytest.raises(UserError, match=r"for one image give image\[None\]"):
        take(photos[0])
    if name not in ("diversity", "pixels"):  # distances of pixels, of any channels
        with pytest.raises(UserError, match=r"2 channels"):
            take(photos[:, :2])


@pytest.mark.parametrize("name", NAMES)
def test_arrays_and_pillow_images_are_taken_wherever_images_are(prior, target, photos, name):
    levels = photos.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    exact, take = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255, takers(prior, target, photos)[name]
    expected = take(exact)
    pictures = [Image.fromarray(image) for image in levels]
    kinds = (
        levels,
        pictures,
        list(levels),
        list(exact),
        exact.double(),
        exact.numpy(),
        levels.astype(np.float64) / 255,
    )
    for images in kinds:
        torch.testing.assert_close(take(images), expected, check_dtype=False, rtol=1e-4, atol=1e-5)


def test_all_takers_are_tried(prior, target, photos):
    assert set(NAMES) == takers(prior, target, photos).keys()
