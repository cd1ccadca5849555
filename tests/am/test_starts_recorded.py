"""Every search records what it began at."""

import numpy as np
import torch

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations import Pixels
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent


def searched(target, steps=3, batch_size=None, begin="noise"):
    stage = Stage(Pixels(Setting(target, begin=begin)), lambda: NormalizedAscent(first=4.0), steps=steps)
    return maximize(target, "4:0-1", stage, seeds=2, batch_size=batch_size)


def test_a_search_of_no_steps_is_its_own_start(target):
    preferred = searched(target, steps=0)
    starts = preferred.unsearched()
    assert torch.allclose(starts.images, preferred.images, atol=0.5 / 255 + 1e-6)  # starts are kept in 8 bits
    assert torch.equal(starts.activations, preferred.activations)
    assert torch.allclose(preferred.correlation_with_start(), torch.ones(4), atol=1e-3)


def test_the_first_value_of_the_curve_is_the_starts_activation(target):
    """For units that are not read below a rectifier, the two are the same number."""
    preferred = searched(target)
    assert torch.allclose(preferred.start_activations, preferred.curve[0], atol=1e-5)


def test_correlation_is_pearsons(target):
    preferred = searched(target)
    for image, start, value in zip(
        preferred.images, preferred.start_images, preferred.correlation_with_start(), strict=True
    ):
        expected = np.corrcoef(image.numpy().ravel(), start.numpy().ravel())[0, 1]
        assert abs(float(value) - expected) < 1e-4


def test_starts_of_batches_are_joined_in_order(target):
    whole, parts = searched(target), searched(target, batch_size=1)
    assert torch.equal(whole.start_images, parts.start_images)
    assert [str(o) for o in parts.unsearched().objectives] == [str(o) for o in whole.objectives]
    assert parts.seeds == whole.seeds == [0, 1, 0, 1]


def test_a_given_image_is_the_start_of_every_search(target):
    given = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    size = target.input_space.size
    preferred = searched(target, begin=torch.nn.functional.interpolate(given, size))
    assert len(preferred.start_images.flatten(1).unique(dim=0)) == 1
    assert len(parse_units("4:0-1", target)) == 2
