import numpy as np
import pytest
import torch

from dgn.am.objectives.language import parse_units
from dgn.errors import UserError
from dgn.metrics.extremes import extreme_images


@pytest.fixture
def images():
    return torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def test_the_extremes_are_those_of_a_full_sort(net, images):
    objectives = parse_units("fc:0, conv2:1@mean, fc:0-0.5*fc:2", net)
    extremes = extreme_images(net, objectives, images.split(7), k=5, sample=6)
    fc, maps = (values.double().numpy() for values in net(images, ["fc", "conv2"]).values())
    expected = np.stack([fc[:, 0], maps[:, 1].mean((1, 2)), fc[:, 0] - 0.5 * fc[:, 2]])
    np.testing.assert_array_equal(extremes.strongest, np.argsort(-expected, 1)[:, :5])
    np.testing.assert_array_equal(extremes.weakest, np.argsort(expected, 1)[:, :5])
    # Sums over batches of 7 and of 40 differ in their last digits on some processors, and a difference may be near 0.
    near = dict(rtol=0, atol=1e-6 * abs(expected).max())
    np.testing.assert_allclose(extremes.strongest_values, -np.sort(-expected, 1)[:, :5], **near)
    np.testing.assert_allclose(extremes.weakest_values, np.sort(expected, 1)[:, :5], **near)
    assert extremes.count.tolist() == [40] * 3
    assert len(set(extremes.sample.tolist())) == 6
    assert max(extremes.sample.tolist()) < 40


def test_equal_images_are_ordered_at_random_and_the_lists_are_disjoint(net, images):
    same = images[:1].expand(40, -1, -1, -1)
    orders = []
    for seed in (0, 1):
        extremes = extreme_images(net, parse_units("fc:0", net), same.split(7), k=20, seed=seed)
        strongest, weakest = extremes.strongest[0].tolist(), extremes.weakest[0].tolist()
        assert sorted(strongest + weakest) == list(range(40))
        orders.append(strongest)
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_images_without_a_finite_activation_are_left_out(net, images):
    images[3], images[11] = torch.nan, torch.inf
    extremes = extreme_images(net, parse_units("fc:0", net), images.split(7), k=38)
    assert extremes.count.tolist() == [38]
    for places in (extremes.strongest[0], extremes.weakest[0]):
        assert sorted(places.tolist()) == [i for i in range(40) if i not in (3, 11)]


def test_no_image_is_a_user_error(net, images):
    with pytest.raises(UserError, match="reference images"):
        extreme_images(net, parse_units("fc:0", net), [], k=3)
    with pytest.raises(UserError, match="at least 1"):
        extreme_images(net, parse_units("fc:0", net), images, k=0)
