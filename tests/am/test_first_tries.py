"""What a notebook user types first."""

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.algebra import direction
from dgn.am.objectives.evaluation import activations_of
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.methods import dgn_am
from dgn.metrics.features import extract_features
from dgn.metrics.recognition import judge_images
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


def test_one_image_without_a_batch_is_refused_wherever_images_are_taken(prior, target, photos):
    one, units = photos[0], parse_units("4:1", target)
    takers = [
        prior.encode,
        lambda image: target(image, ["4"]),
        lambda image: dgn_am(prior, units, steps=1, start=image),
        lambda image: activations_of(target, units, image),
        lambda image: extract_features(target, image),
        lambda image: judge_images(target, image),
    ]
    for take in takers:
        with pytest.raises(UserError, match=r"for one image give image\[None\]"):
            take(one)


def test_arrays_and_pillow_images_are_taken_wherever_images_are(prior, target, photos):
    levels = photos.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    exact, units = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255, parse_units("4:1", target)
    codes, features = prior.encode(exact), extract_features(target, exact)
    values, labels = activations_of(target, units, exact), [v.label for v in judge_images(target, exact)]
    started = dgn_am(prior, units, steps=1, start=exact).images
    pictures = [Image.fromarray(image) for image in levels]
    for images in (levels, pictures, exact.double(), exact.numpy(), levels.astype(np.float64) / 255):
        torch.testing.assert_close(prior.encode(images), codes)
        torch.testing.assert_close(target(images, ["4"])["4"].float(), target(exact, ["4"])["4"])
        torch.testing.assert_close(extract_features(target, images), features)
        torch.testing.assert_close(activations_of(target, units, images), values)
        torch.testing.assert_close(dgn_am(prior, units, steps=1, start=images).images, started)
        assert [verdict.label for verdict in judge_images(target, images)] == labels
