import numpy as np
import pytest
import torch
from scipy.spatial import distance

from dgn.errors import UserError
from dgn.metrics.diversity import diversity, features, perceptual, pixels
from dgn.metrics.neighbours import code_spaces, nearest
from dgn.networks.zoo import mini_caffenet, mini_resnet


@pytest.fixture
def images():
    return torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def test_the_nearest_is_that_of_all_pairs_in_pixels_and_in_every_layer(net, images):
    queries, real = images[:7], images[7:]
    calls = []

    def stream():
        calls.append(1)
        return real.split(6)

    found = nearest(queries, stream, net, ["conv1", "fc"])
    for space, near in found.items():
        vectors = [x if space == "pixels" else net(x, [space])[space] for x in (queries, real)]
        pairs = distance.cdist(*(x.flatten(1).double().numpy() for x in vectors))
        np.testing.assert_array_equal(near.indices, pairs.argmin(1))
        np.testing.assert_allclose(near.distances, pairs.min(1), rtol=1e-4)  # the network rounds
    in_parts = nearest(queries, stream, net, ["conv1", "fc"], memory=3 * 4 * (5 + 3 + 1) * 144)
    assert len(calls) > 4
    for space in found:
        assert torch.equal(in_parts[space].indices, found[space].indices)
        torch.testing.assert_close(in_parts[space].distances, found[space].distances, rtol=1e-4, atol=0)


def test_a_copy_is_found_at_distance_zero_and_a_near_copy_at_its_own(net, images):
    near = images[20:22].clone()
    near[1, 0, 0, 0] += 1e-4
    found = nearest(near, lambda: images.split(8), net)["pixels"]
    assert found.indices.tolist() == [20, 21]
    assert found.distances[0] == 0
    assert found.distances[1] == pytest.approx(1e-4, rel=1e-3)


def test_of_equal_real_images_the_first_is_named(images):
    twice = torch.cat([images, images])
    assert nearest(images[4:5], lambda: twice.split(7))["pixels"].indices.tolist() == [4]


def test_images_of_another_size_are_compared_at_the_real_ones(images):
    large = torch.nn.functional.interpolate(images[3:5], 48, mode="nearest")
    assert nearest(large, lambda: images.split(8))["pixels"].indices.tolist() == [3, 4]


def test_no_real_image_is_a_user_error(images):
    with pytest.raises(UserError, match="no real image"):
        nearest(images, lambda: [])


def test_the_code_spaces_of_caffenet_are_the_papers_eight():
    expected = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert code_spaces(mini_caffenet(classes=4)) == expected
    assert code_spaces(mini_resnet(classes=4, width=8)) == ["conv1", "layer1", "layer2", "layer3", "fc"]


def test_diversity_is_the_mean_distance_within_each_unit(net, images):
    groups = ["a", "b", "a", "b", "a", "c"]
    found = diversity(images[:6], groups, pixels)
    of_a = images[[0, 2, 4]].flatten(1).double().numpy()
    assert found["a"] == pytest.approx(distance.pdist(of_a).mean() / np.sqrt(432))
    assert np.isnan(found["c"])
    vectors = net(images[[1, 3]], ["flatten"])["flatten"]
    assert diversity(images[:6], groups, features(net))["b"] == pytest.approx(float((vectors[0] - vectors[1]).norm()))


def test_perceptual_distance_is_that_of_lpips_without_its_weights(net, images):
    found = diversity(images[:2], [0, 0], perceptual(net, ["conv1", "conv2"]))[0]
    square = 0.0
    for layer in ("conv1", "conv2"):
        a, b = net(images[:2], [layer])[layer].double().numpy()
        a, b = (x / (np.sqrt((x**2).sum(0)) + 1e-10) for x in (a, b))
        square += ((a - b) ** 2).sum(0).mean()
    assert found == pytest.approx(np.sqrt(square), rel=1e-5)
