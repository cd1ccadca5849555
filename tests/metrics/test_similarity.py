import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from dgn.cli.config import compose, plain
from dgn.cli.roles import load_similarity
from dgn.errors import UserError
from dgn.metrics.predictive import PredictivePower
from dgn.metrics.similarity import (
    FeatureSimilarity,
    PairSimilarity,
    dreamsim_similarity,
    lpips_similarity,
    similarity_layers,
)
from dgn.networks.zoo import mini_caffenet, mini_resnet


@pytest.fixture
def queries():
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def explanations():
    return torch.rand(70, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def test_the_similarity_is_lpips_without_weights(net, queries, explanations):
    found = FeatureSimilarity(net, ["conv1", "fc"])(queries, explanations)
    assert found.shape == (3, 70)

    def unit(images, layer):
        values = net(images, [layer])[layer].double().numpy().reshape(len(images), net.layer(layer).units, -1)
        return values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-10)  # inactive positions stay 0

    expected = 0
    for layer in ("conv1", "fc"):
        difference = unit(queries, layer)[:, None] - unit(explanations, layer)[None]
        expected = expected - (difference**2).sum(2).mean(2) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert FeatureSimilarity(net, ["fc"])(queries, explanations[:0]).shape == (3, 0)


def test_an_image_is_most_similar_to_itself(net, queries):
    found = FeatureSimilarity(net)(queries, queries)
    assert found.argmax(1).tolist() == [0, 1, 2]
    torch.testing.assert_close(found.diagonal(), torch.zeros(3), atol=1e-6, rtol=0)


def test_several_layers_of_all_depths_are_compared(net):
    assert similarity_layers(net) == ["conv1", "conv2", "fc:input"]
    assert similarity_layers(mini_resnet(classes=3)) == ["conv1", "layer1", "layer2", "layer3", "fc:input"]
    assert similarity_layers(mini_resnet(classes=3), 3) == ["conv1", "layer3", "fc:input"]
    assert similarity_layers(mini_caffenet(classes=3)) == ["conv1", "conv3", "conv4", "fc6", "fc8:input"]
    assert similarity_layers(mini_resnet(classes=0))[-1] == "output"
    assert "tiny" in FeatureSimilarity(net).name


class Distance(nn.Module):
    """Stands in for a package's model: the mean absolute difference of the pixels it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 2))
        self.sizes: set[tuple[int, ...]] = set()

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(one.shape[-2:]))
        return (one - two).abs().mean((1, 2, 3), keepdim=True)


def test_a_distance_of_pairs_becomes_a_similarity(queries, explanations):
    model = Distance()
    found = PairSimilarity(model, model, "pairs", lowest=-1.0, batch_size=50)(queries, explanations)
    expected = -2 * (queries[:, None] - explanations[None]).abs().mean((2, 3, 4))
    torch.testing.assert_close(found, expected)


def test_the_packages_are_called_as_they_want(monkeypatch, queries, explanations):
    lpips, dreamsim, model = ModuleType("lpips"), ModuleType("dreamsim"), Distance()
    lpips.LPIPS = lambda net, verbose: model
    dreamsim.dreamsim = lambda pretrained, device, cache_dir: (model, None)
    monkeypatch.setitem(sys.modules, "lpips", lpips)
    monkeypatch.setitem(sys.modules, "dreamsim", dreamsim)
    expected = (queries[:, None] - explanations[None]).abs().mean((2, 3, 4))
    torch.testing.assert_close(lpips_similarity("vgg")(queries, explanations), -2 * expected)  # on -1 to 1
    assert model.sizes == {(12, 12)}
    assert dreamsim_similarity()(queries, explanations[:4]).shape == (3, 4)
    assert model.sizes == {(12, 12), (224, 224)}
    assert lpips_similarity("vgg").name == "LPIPS (vgg)"


@pytest.mark.parametrize(("name", "called"), [("lpips", "LPIPS (alex)"), ("dreamsim", "DreamSim")])
def test_the_command_line_names_the_packages(monkeypatch, net, name, called):
    package = ModuleType(name)
    package.LPIPS, package.dreamsim = lambda net, verbose: Distance(), lambda **settings: (Distance(), None)
    monkeypatch.setitem(sys.modules, name, package)
    settings = plain(compose("visualize", [f"similarity={name}"])["similarity"])
    assert load_similarity(settings, None, net, None).name == called


@pytest.mark.parametrize(("name", "make"), [("lpips", lpips_similarity), ("dreamsim", dreamsim_similarity)])
def test_a_missing_package_or_weights_are_a_user_error(monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install 'dgn\[similarity\]'"):
        make()

    def fails(*args, **kwargs):
        raise OSError("no network")

    package = ModuleType(name)
    package.LPIPS = package.dreamsim = fails
    monkeypatch.setitem(sys.modules, name, package)
    with pytest.raises(UserError, match="no network"):
        make()


def test_the_target_and_its_relatives_do_not_compare(net, queries):
    with pytest.raises(UserError, match=r"the similarity tiny .* shares .* with the target tiny"):
        PredictivePower(net, [], lambda: queries, FeatureSimilarity(net))
    relative = Distance()
    relative.trunk = net.network.conv1
    with pytest.raises(UserError, match="the similarity pairs shares 1 weight"):
        PredictivePower(net, [], lambda: queries, PairSimilarity(relative, relative, "pairs"))
