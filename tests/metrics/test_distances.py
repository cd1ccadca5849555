import numpy as np
import pytest
import torch
from scipy.spatial import distance

from dgn.metrics.diversity import diversity, features, perceptual, pixels


@pytest.fixture
def images():
    return torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(5))


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
