from dataclasses import replace

import pytest
import torch
from torch import nn

from dgn.metrics.network_check import check_network, units_of_classes
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

COLOURS = torch.tensor([[0.9, 0.3, 0.2], [0.2, 0.8, 0.3], [0.3, 0.2, 0.7], [0.7, 0.7, 0.2]])
NAMES = ("red", "green", "blue", "yellow")


class Nearest(nn.Module):
    """Says which of four colours the mean of its input is nearest to, in its own normalization; needs its own size."""

    def __init__(self, space, side):
        super().__init__()
        self.register_buffer("colours", replace(space, size=None).enter(COLOURS[:, :, None, None]).flatten(1))
        self.side = side

    def forward(self, x):
        mean = x.mean((2, 3)) + (x.shape[-1] != self.side) * 100 * torch.eye(3)[2]
        return -torch.cdist(mean, self.colours)


RIGHT = InputSpace((16, 16), (104.0, 117.0, 123.0), (1.0,) * 3, "BGR", 255.0)


@pytest.fixture
def pictures():
    labels = torch.arange(4).repeat(32)
    noise = 0.05 * torch.rand(128, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return COLOURS[labels][:, :, None, None] + noise, labels


def checked(pictures, given, labels=NAMES, right=RIGHT):
    net = FeatureNet(Nearest(right, 16), given, "nearest", labels=labels)
    result = check_network(net, *pictures, NAMES)
    assert net.input_space == given
    return result


def test_a_network_with_the_right_settings_is_good(pictures):
    result = checked(pictures, RIGHT)
    assert (result.accuracy, result.images, result.settings) == (1.0, 128, "")


@pytest.mark.parametrize(
    ("wrong", "settings"),
    [
        (InputSpace((16, 16), (104.0, 117.0, 123.0), (1.0,) * 3, "RGB", 255.0), "channel_order=BGR"),
        (
            InputSpace((16, 16), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "BGR"),
            "mean=[104,117,123] std=[1,1,1] value_range=255",
        ),
        (InputSpace((32, 32), (104.0, 117.0, 123.0), (1.0,) * 3, "BGR", 255.0), "input_size=16"),
        (
            InputSpace((16, 16), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "RGB"),
            "channel_order=BGR mean=[104,117,123] std=[1,1,1] value_range=255",
        ),
    ],
)
def test_the_wrong_setting_is_named_with_the_right_one(pictures, wrong, settings):
    result = checked(pictures, wrong)
    assert result.accuracy < 0.8
    assert result.settings == settings
    assert result.better == 1.0


def test_nothing_is_named_where_nothing_helps(pictures):
    result = checked((pictures[0], pictures[1].flip(0)), RIGHT)
    assert result.accuracy < 0.5
    assert result.settings == ""


def test_classes_are_matched_by_name_and_without_labels_by_order(pictures):
    net = FeatureNet(Nearest(RIGHT, 16), RIGHT, "nearest", labels=["Yellow", "blue", "pink", "grey"])
    assert units_of_classes(net, NAMES).tolist() == [-1, -1, 1, 0]
    assert check_network(net, *pictures, NAMES).images == 64
    assert check_network(net, *pictures, ("cat", "dog", "cow", "hen")) is None
    assert checked(pictures, RIGHT, labels=()).accuracy == 1.0
    assert units_of_classes(FeatureNet(Nearest(RIGHT, 16), RIGHT, "nearest"), ("one", "two")) is None
