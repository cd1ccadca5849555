"""What is inside a network, against numpy."""

import itertools
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dgn.am.objectives.language import parse_units
from dgn.attribution import Deconvnet
from dgn.errors import UserError
from dgn.inspection import (
    TSNE,
    UMAP,
    deconvolved,
    first_filters,
    layer_statistics,
    main_layers,
    on_grid,
    strongest_channels,
)
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.zoo import mini_caffenet


@pytest.fixture(scope="module")
def net() -> FeatureNet:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        module[2].bias[1] = -100  # a dead channel
    space = InputSpace((8, 8), (1.0, 2.0, 3.0), (2.0, 4.0, 5.0), channel_order="BGR", value_range=255.0)
    return FeatureNet(module, space, "tiny", labels=("a", "b"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_strongest_channels_are_those_of_the_largest_activation(net, images):
    found = strongest_channels(net, images[0], ["1", "5"], 2)
    values = net(images[:1], ["1", "5"])
    peaks = values["1"][0].amax((1, 2)).numpy()
    assert [channel.index for channel in found["1"]] == np.argsort(-peaks)[:2].tolist()
    best = found["1"][0]
    assert best.value == pytest.approx(float(best.map[best.place]))
    assert best.map.shape == (6, 6)
    assert [channel.label for channel in found["5"]] == [("a", "b")[i] for i in values["5"][0].argsort(descending=True)]
    assert found["5"][0].map is None


def test_first_filters_are_shown_in_the_colours_of_the_image(net):
    found = first_filters(net)
    weight = net.network[0].weight.detach().numpy()
    in_image_space = (weight * 255 / np.array([2.0, 4.0, 5.0])[:, None, None])[:, ::-1]  # BGR to RGB
    largest = np.abs(in_image_space).max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found.images.numpy(), 0.5 + 0.5 * in_image_space / largest, rtol=1e-5)
    assert found.layer == "0"


def test_patch_embeddings_are_filters():
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, 6, 4, 4)
            self.head = nn.Linear(6, 2)

        def forward(self, images):
            return self.head(self.embed(images).flatten(2).mean(2))

    found = first_filters(FeatureNet(Patches(), InputSpace((16, 16)), "vit"))
    assert (found.layer, tuple(found.images.shape)) == ("embed", (6, 3, 4, 4))
    with pytest.raises(UserError, match="no first layer with filters"):
        first_filters(FeatureNet(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), InputSpace((4, 4)), "linear"))


def test_statistics_are_those_of_all_images_at_once(net, images):
    first, third, last = layer_statistics(net, ["1", "3", "5"], images.split(3))
    values = net(images, ["3"])["3"].numpy()
    assert third.dead.tolist() == [False, True, False]
    assert not first.dead.any()
    assert third.images == 7
    assert third.zero_share == pytest.approx((values == 0).mean())
    assert (third.mean, third.std) == (pytest.approx(values.mean(), rel=1e-5), pytest.approx(values.std(), rel=1e-5))
    peaks = values.max((2, 3))[:, [0, 2]].astype(np.float64)
    sparsity = (1 - peaks.mean(0) ** 2 / (peaks**2).mean(0)) / (1 - 1 / 7)
    np.testing.assert_allclose(third.lifetime_sparsity[[0, 2]], sparsity, rtol=1e-4, atol=1e-6)
    assert third.lifetime_sparsity[1].isnan()
    assert last.lifetime_sparsity.isnan().all()  # it has negative values


def test_statistics_of_no_image_are_refused(net):
    with pytest.raises(UserError, match="need real images"):
        layer_statistics(net, ["1"], iter(()))


def test_deconvolutions_of_a_batch_are_those_of_each_alone(net, images):
    objectives = parse_units("3:0@1,1, 3:2@2,0, 3:0@3,3", net)
    together = deconvolved(net, objectives, images[:3])
    for objective, image, found in zip(objectives, images, together, strict=False):
        torch.testing.assert_close(found[None], Deconvnet()(net, objective, image[None]))
    assert together.abs().amax((1, 2, 3)).min() > 0


def test_a_grid_keeps_neighbours_together():
    places = np.random.default_rng(0).normal(size=(5, 2))
    cells = on_grid(places, columns=3)
    unit = (places - places.min(0)) / np.ptp(places, axis=0)
    middle = lambda row, column: ((column + 0.5) / 3, 1 - (row + 0.5) / 2)  # noqa: E731
    every = list(itertools.product(range(2), range(3)))

    def cost(chosen):
        return sum(((unit[i] - middle(*cell)) ** 2).sum() for i, cell in enumerate(chosen))

    least = min(cost(chosen) for chosen in itertools.permutations(every, 5))
    assert cost([tuple(cell) for cell in cells]) == pytest.approx(least)


@pytest.mark.parametrize(
    "embedding", [TSNE(perplexity=5, pca=10), pytest.param(UMAP(neighbours=8, pca=10), marks=pytest.mark.slow)]
)
def test_an_embedding_keeps_clusters_apart(embedding):
    if embedding.name == "UMAP":
        pytest.importorskip("umap", reason="the extra `umap` is not installed")
    random = np.random.default_rng(0)
    codes = np.concatenate([random.normal(8 * np.eye(60)[k], 0.3, (12, 60)) for k in range(3)])
    found = embedding(codes)
    np.testing.assert_array_equal(found, embedding(codes))  # the seed decides
    places = found.reshape(3, 12, 2)
    centres = places.mean(1)
    spread = np.linalg.norm(places - centres[:, None], axis=2).max()
    between = min(np.linalg.norm(centres[i] - centres[j]) for i in range(3) for j in range(i))
    assert between > spread
    with pytest.raises(UserError, match="an embedding of 4 images"):
        embedding(codes[:4])


def test_umap_without_its_extra_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=r"embedding=umap needs the extra `umap`: pip install 'dgn\[umap\]'"):
        UMAP()(np.zeros((6, 3)))


def test_main_layers_are_the_names_that_people_use(net):
    assert main_layers(mini_caffenet(classes=4)) == [f"conv{i}" for i in range(1, 6)] + ["fc6", "fc7", "fc8"]
    assert main_layers(net) == ["0", "1", "2", "3", "5"]
    assert main_layers(net, 2) == ["0", "5"]
