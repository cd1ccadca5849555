"""Searches from another class."""

import numpy as np
import pytest
import torch

from dgn.am.maximize import Preferred
from dgn.am.objectives.language import parse_units
from dgn.am.starts import Starts
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.zoo import mini_resnet
from dgn.visualization.wrong_class import class_units, exchanged, share_recognized

LABELS = ("ant", "bee", "cow")


@pytest.fixture
def net() -> FeatureNet:
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 36, 3))
    return FeatureNet(layers, InputSpace(size=(6, 6)), "tiny", labels=LABELS)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_no_search_starts_in_its_own_class_and_seeds_take_turns(net, seeds):
    units = parse_units("1:all", net)
    codes = {unit: 10 * i + torch.arange(float(seeds))[:, None] for i, unit in enumerate(units)}
    starts = exchanged(Starts({}, codes, list(range(seeds))), units, seeds)
    for i, unit in enumerate(units):
        classes = (starts.codes[unit][:, 0] // 10).int().tolist()
        assert i not in classes
        assert len(set(classes)) == min(seeds, 2)  # of the two others
        assert (starts.codes[unit][:, 0] % 10).tolist() == list(range(seeds))  # each seed that class's start of it


def test_the_share_is_of_the_searched_class(net):
    judge = mini_resnet(classes=3, labels=list(LABELS), seed=9, width=8)
    units = parse_units("1:0, 1:1", net)
    images = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    objectives = [units[0]] * 3 + [units[1]] * 3
    preferred = Preferred(images, torch.zeros(6), torch.empty(0, 6), objectives, [0, 1, 2] * 2)
    tops = judge(images, [judge.class_layer()])[judge.class_layer()].argmax(1).tolist()
    expected = [np.mean([top == 0 for top in tops[:3]]), np.mean([top == 1 for top in tops[3:]]), np.nan]
    shares = share_recognized(judge, preferred, [str(units[0]), str(units[1]), "1:2"])
    np.testing.assert_allclose(shares, expected)


def test_only_units_named_like_a_class_are_searched_from_another(net):
    units = parse_units("1:0, 0:5, 1:2", net)
    assert class_units(units, ("ant", "cow")) == [units[0], units[2]]
