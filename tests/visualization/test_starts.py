"""Where searches start: near real images of their unit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from torch import nn

from dgn.am.method import Method
from dgn.am.objectives.language import parse_units
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.visualization.approaches import choose_start
from dgn.visualization.starts import near_real

LABELS = ("ant", "bee", "cow")


class Real:
    """Ninety images of three classes; of the last there is none."""

    classes = LABELS

    def __init__(self) -> None:
        self.all = torch.rand(90, 3, 12, 12, generator=torch.Generator().manual_seed(1))
        self.labels = torch.arange(90) % 2

    def __call__(self):
        return zip(self.all.split(32), self.labels.split(32), strict=True)

    def images(self):
        return iter(self.all.split(32))

    def images_at(self, places):
        return {place: self.all[place] for place in places}


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(3, 4, 3, stride=2))
    layers.add_module("pool", nn.AdaptiveAvgPool2d(1))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("fc", nn.Linear(4, 3))
    return FeatureNet(layers, InputSpace(size=(12, 12)), "tiny", labels=LABELS)


def encode(images):
    return images.flatten(1)[:, 5:40]


PRIOR = SimpleNamespace(encode=encode, device=torch.device("cpu"))


def test_a_start_is_the_mean_code_of_fifteen_similar_images_of_the_class(net):
    real, (ant, bee) = Real(), parse_units("fc:ant, fc:bee", net)
    starts = near_real(net, PRIOR, [ant, bee], [3, 7], real)
    for label, unit in enumerate((ant, bee)):
        codes = encode(real.all[real.labels == label]).numpy().astype(float)
        nearest = distance.cdist(codes, codes).argsort(1)[:, :15]
        possible = codes[nearest].mean(1)
        chosen = [int(np.abs(possible - found).max(1).argmin()) for found in starts.codes[unit].numpy()]
        assert chosen[0] != chosen[1]
        np.testing.assert_allclose(starts.codes[unit], possible[chosen], atol=1e-6)
    again = near_real(net, PRIOR, [bee], [7], real)
    torch.testing.assert_close(again.of(again.codes, [7], [bee]), starts.of(starts.codes, [7], [bee]))


def test_without_codes_it_is_a_mean_image_and_without_a_class_of_what_excites_most(net):
    real = Real()
    cow, hidden = parse_units("fc:cow, conv:1@mean", net)
    starts = near_real(net, None, [cow, hidden], [0], real)
    for unit, layer in ((cow, "fc"), (hidden, "conv")):
        values = net(real.all, [layer])[layer].detach()
        values = values[:, 2] if layer == "fc" else values[:, 1].mean((1, 2))
        top = values.topk(50).indices
        codes = net(real.all, [net.code_layer()])[net.code_layer()].detach().flatten(1).numpy()[top]
        nearest = distance.cdist(codes, codes).argsort(1)[:, :15]
        possible = real.all.numpy()[top][nearest].mean(1)
        away = np.abs(possible - starts.images[unit].numpy()).reshape(50, -1).max(1)
        assert away.min() < 1e-5


def test_auto_is_the_methods_start_where_possible(net):
    method, from_noise = (Method("any", True, start, 1, lambda _: []) for start in ("real", "noise"))
    real = Real()

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
