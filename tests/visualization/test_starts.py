"""Where searches start: near real images of their unit."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import distance
from torch import nn

from dgn.am.method import Method
from dgn.am.objectives.language import parse_units
from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference
from dgn.data.sources import image_folder
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.visualization import starts as module
from dgn.visualization.approaches import choose_start
from dgn.visualization.starts import near_real, own_images, start_images

LABELS = ("ant", "bee", "cow")


class Real:
    """Ninety images of three classes; of the last there is none."""

    classes = LABELS

    def __init__(self) -> None:
        images = torch.rand(90, 3, 12, 12, generator=torch.Generator().manual_seed(1))
        self.pixels = (images * 255).round().byte()
        self.labels = torch.arange(90) % 2

    def __len__(self) -> int:
        return 90

    def __getitem__(self, i: int):
        return self.pixels[i], int(self.labels[i])


@pytest.fixture
def real() -> Reference:
    return Reference(ImageData(Real(), Real(), 12), 90)


def network(labels) -> FeatureNet:
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(3, 4, 3, stride=2))
    layers.add_module("pool", nn.AdaptiveAvgPool2d(1))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("fc", nn.Linear(4, len(labels)))
    return FeatureNet(layers, InputSpace(size=(12, 12)), "tiny", labels=labels)


@pytest.fixture
def net() -> FeatureNet:
    return network(LABELS)


def encode(images):
    return images.flatten(1)[:, 5:40]


PRIOR = SimpleNamespace(encode=encode, device=torch.device("cpu"), code_shape=(35,))


def of(reference: Reference, name: str) -> torch.Tensor:
    images = torch.cat(list(reference.images()))
    return images[reference.labels() == LABELS.index(name)]


def test_a_start_is_the_mean_code_of_fifteen_similar_images_of_the_class(net, real):
    units = parse_units("fc:ant, fc:bee", net)
    places = start_images(net, units, real)
    starts = near_real(net, PRIOR, places, [3, 7], real)
    for unit in units:
        codes = encode(of(real, unit.label)).numpy().astype(float)
        assert len(codes) == 45
        nearest = distance.cdist(codes, codes).argsort(1)[:, :15]
        possible = codes[nearest].mean(1)
        chosen = [int(np.abs(possible - found).max(1).argmin()) for found in starts.codes[unit].numpy()]
        assert chosen[0] != chosen[1]
        np.testing.assert_allclose(starts.codes[unit], possible[chosen], atol=1e-6)
    bee = units[1]
    again = near_real(net, PRIOR, {bee: places[bee]}, [7], real)
    torch.testing.assert_close(again.select(again.codes, [7], [bee]), starts.select(starts.codes, [7], [bee]))


def test_without_codes_it_is_a_mean_image_and_without_a_class_of_what_excites_most(net, real):
    ant, hidden = parse_units("fc:ant, conv:1@mean", net)
    starts = near_real(net, None, start_images(net, [ant, hidden], real), [0], real)
    every = torch.cat(list(real.images()))
    top = net(every, ["conv"])["conv"].detach()[:, 1].mean((1, 2)).topk(50).indices
    for unit, own in ((ant, of(real, "ant")), (hidden, every[top])):
        codes = net(own, [net.code_layer()])[net.code_layer()].detach().flatten(1).numpy()
        nearest = distance.cdist(codes, codes).argsort(1)[:, :15]
        possible = own.numpy()[nearest].mean(1)
        away = np.abs(possible - starts.images[unit].numpy()).reshape(len(own), -1).max(1)
        assert away.min() < 1e-5


def test_a_class_without_images_is_named_once_and_has_no_start(net, real, caplog):
    units = parse_units("fc:all, conv:1@mean", net)
    with caplog.at_level(logging.WARNING):
        places = start_images(net, units, real)
    assert [record.getMessage() for record in caplog.records] == [
        "No real image of 1 classes (cow): searches for them start from noise"
    ]
    assert [len(own) for own in places.values()] == [45, 45, 50]
    starts = near_real(net, PRIOR, places, [0], real)
    assert [unit in starts for unit in units] == [True, True, False, True]
    assert own_images(net, units, real)[units[2]] == []


def test_a_network_of_other_labels_has_no_classes_among_the_images(real, caplog):
    net = network(("x", "y", "z"))
    places = start_images(net, parse_units("fc:all", net), real)
    assert [len(own) for own in places.values()] == [50, 50, 50]
    assert not caplog.records


@pytest.fixture
def folder(tmp_path):
    """Two hundred classes: the first three of 1, 2 and 3 images, the others of 4; an image is its number."""
    number = 0
    for label in range(200):
        for i in range(min(label + 1, 4)):
            path = tmp_path / f"class{label:03}" / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((12, 12, 3), number % 256, np.uint8)).save(path)
            number += 1
    return tmp_path


@pytest.mark.parametrize("prior", [PRIOR, None], ids=["codes", "images"])
def test_each_class_of_a_folder_of_two_hundred_starts_near_its_own_few_images(folder, prior, monkeypatch):
    names = [f"class{i:03}" for i in range(200)] + ["unicorn"]
    net = network(names)
    data = image_folder(folder, 12, val_root=folder, resize=12, num_workers=0)
    reference = Reference(data, 20)  # the first images know few of the classes
    monkeypatch.setattr(module, "_MEMORY", 100 * 4 * 35)  # in several groups
    units = parse_units("fc:all", net)
    places = start_images(net, units, reference)
    assert [len(places[u]) for u in units[:4]] == [1, 2, 3, 4]
    assert units[200] not in places
    starts = near_real(net, prior, places, [0, 1, 2], reference)
    made, first = starts.codes or starts.images, 0
    assert set(made) == set(units[:200])
    for label, unit in enumerate(units[:200]):
        found = made[unit].flatten(1).numpy() * 255
        count = min(label + 1, 4)
        own = [i % 256 for i in range(first, first + count)]
        used = {round(float(row[0])) for row in found}
        np.testing.assert_allclose(found, np.round(found), atol=1e-3)  # of one image each: a third of four
        assert used <= set(own)
        assert len(used) == min(3, count)  # each seed another image
        first += count


def test_no_two_seeds_average_the_same_images_while_others_are_left():
    generator = torch.Generator().manual_seed(2)
    codes = torch.rand(4, 1, 6, generator=generator) * 50 + torch.rand(4, 15, 6, generator=generator)
    rows = module._averaged(codes.flatten(0, 1), range(4))  # four kinds of fifteen images
    assert [len(row) for row in rows] == [15] * 4
    assert len({place for row in rows for place in row}) == 60


def test_auto_is_the_methods_start_where_possible(net, real):
    method, from_noise = (Method("any", True, start, 1, lambda _: []) for start in ("real", "noise"))

    def no_encoder():
        raise UserError("its code is not here")

    foreign = SimpleNamespace(encoder_net=no_encoder)
    own = SimpleNamespace(encoder_net=lambda: net)
    assert choose_start("auto", method, own, real) == "real"
    assert choose_start("auto", from_noise, own, real) == "noise"
    assert choose_start("auto", method, own, None) == "noise"
    assert choose_start("auto", method, foreign, real) == "noise"
    assert choose_start("photo.png", method, own, real) == "photo.png"
    with pytest.raises(UserError, match="start=real needs real images"):
        choose_start("real", method, own, None)
