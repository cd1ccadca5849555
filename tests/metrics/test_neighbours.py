"""The nearest real images, against all pairs."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.spatial import distance

from dgn.errors import UserError
from dgn.metrics.neighbours import code_spaces, nearest
from dgn.metrics.training_images import numbered
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.zoo import mini_caffenet, mini_resnet

SPACES = ("pixels", "conv1", "fc")
ONE = 4 * (5 + 3 + 1) * 144  # bytes of one image's values, about


@pytest.fixture
def images():
    return torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def of(images, labels=None, batch=6):
    """The images as a stream, in batches."""
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    return numbered(zip(images.split(batch), labels.split(batch), strict=True))


def pairs(net, space, queries, real):
    """The distance of each query from each real image, in float64."""
    vectors = [x if space == "pixels" else net(x, [space])[space].detach() for x in (queries, real)]
    return distance.cdist(*(x.flatten(1).double().numpy() for x in vectors))


def check(found, all_pairs, allowed=True):
    """The found ones are the nearest of those allowed."""
    allowed = np.broadcast_to(allowed, all_pairs.shape)
    away = np.where(allowed, all_pairs, np.inf)
    none = ~allowed.any(1)
    np.testing.assert_array_equal(found.indices, np.where(none, -1, away.argmin(1)))
    np.testing.assert_allclose(found.distances, np.where(none, np.nan, away.min(1)), rtol=1e-4)  # the network rounds


@pytest.mark.parametrize("memory", [2**29, 8 * ONE, 1])
def test_the_nearest_is_that_of_all_pairs_in_pixels_and_in_every_layer(net, images, memory):
    queries, real = images[:7], images[7:]
    (found,) = nearest([queries], of(real), net, ["conv1", "fc"], memory=memory)
    assert tuple(found) == SPACES
    for space in SPACES:
        check(found[space], pairs(net, space, queries, real))


@pytest.mark.parametrize("memory", [2**29, 8 * ONE, 1])
@pytest.mark.parametrize("grouped", [False, True], ids=["mixed", "grouped"])
def test_images_are_compared_with_those_of_their_class_and_others_with_the_first_ones(net, images, memory, grouped):
    """Two sets; class 7 has no real image; images without a class are compared with the first eleven."""
    sets, real = [images[:4], images[4:10]], images[10:]
    classes = [[0, 1, None, 7], [1, 1, 0, None, None, 2]]
    labels = torch.tensor([0, 1, 2, 1, 0] * 4)
    order = labels.argsort(stable=True) if grouped else torch.arange(20)
    stream = [(p.tolist(), real[p], labels[p]) for p in order.split(6)]
    found = nearest(sets, iter(stream), net, ["conv1", "fc"], classes, below=11, memory=memory)
    for own, wanted, near in zip(sets, classes, found, strict=True):
        allowed = np.array([np.arange(20) < 11 if c is None else labels.numpy() == c for c in wanted])
        for space in SPACES:
            check(near[space], pairs(net, space, own, real), allowed)


def test_real_images_are_read_once_and_only_classes_at_hand_are_held(net, images, monkeypatch):
    """With the classes one after another, each image is encoded once, however small the memory."""
    encoded = []
    forward = type(net).__call__
    monkeypatch.setattr(
        type(net), "__call__", lambda self, x, layers: encoded.append(len(x)) or forward(self, x, layers)
    )
    labels = torch.arange(5).repeat_interleave(4)
    wanted = [[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]]
    stream = of(images[10:], labels, batch=4)
    nearest([images[:10]], stream, net, ["conv1"], wanted, memory=2 * ONE)
    assert sum(encoded) == 10 + 20
    assert next(stream, None) is None


def test_bytes_and_floats_are_alike(net, images):
    pixels = (images * 255).round().byte()
    for queries in (pixels[:5], pixels[:5].float() / 255):
        (found,) = nearest([queries], of(images[5:]), net)
        check(found["pixels"], pairs(net, "pixels", pixels[:5].float() / 255, images[5:]))


def test_a_copy_is_found_at_distance_zero_and_a_near_copy_at_its_own(net, images):
    near = images[20:22].clone()
    near[1, 0, 0, 0] += 1e-4
    found = nearest([near], of(images, batch=8), net)[0]["pixels"]
    assert found.indices.tolist() == [20, 21]
    assert found.distances[0] == 0
    assert found.distances[1] == pytest.approx(1e-4, rel=1e-3)


def test_of_equal_real_images_the_first_is_named_in_whatever_order_they_come(images):
    twice, labels = torch.cat([images, images]), torch.zeros(60, dtype=torch.long)
    assert nearest([images[4:5]], of(twice, batch=7))[0]["pixels"].indices.tolist() == [4]
    backwards = torch.arange(60).flip(0)
    stream = [(p.tolist(), twice[p], labels[p]) for p in backwards.split(7)]
    assert nearest([images[4:5]], stream)[0]["pixels"].indices.tolist() == [4]


def test_images_of_another_size_are_compared_at_the_real_ones(images):
    large = torch.nn.functional.interpolate(images[3:5], 48, mode="nearest")
    found = nearest([large, images[7:8]], of(images, batch=8))
    assert [near["pixels"].indices.tolist() for near in found] == [[3, 4], [7]]


def test_an_image_that_is_not_finite_has_no_nearest(images):
    broken = images[:2].clone()
    broken[0, 0, 0, 0] = torch.nan
    found = nearest([broken], of(images))[0]["pixels"]
    assert found.indices.tolist() == [-1, 1]
    assert found.distances[0].isnan()


def test_no_real_image_is_a_user_error_and_none_of_a_class_is_not(images):
    with pytest.raises(UserError, match="no real image"):
        nearest([images], iter([]))
    (found,) = nearest([images[:2]], iter([]), classes=[[0, 1]])
    assert found["pixels"].indices.tolist() == [-1, -1]


def test_the_code_spaces_of_caffenet_are_the_papers_eight():
    expected = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert code_spaces(mini_caffenet(classes=4)) == expected
    assert code_spaces(mini_resnet(classes=4, width=8)) == ["conv1", "layer1", "layer2", "layer3", "fc"]


def test_the_code_spaces_of_a_network_in_two_parts_are_layers_of_all_depths():
    parts = [torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(count))) for count in (4, 8)]
    whole = torch.nn.Sequential(OrderedDict(body=torch.nn.Sequential(*parts), flat=torch.nn.Flatten()))
    net = FeatureNet(whole, InputSpace(size=(8, 8)), "parts")
    expected = ["body.0.0", "body.0.2", "body.0.3", "body.1.1", "body.1.2", "body.1.4", "body.1.5", "body.1.7"]
    assert code_spaces(net) == expected
