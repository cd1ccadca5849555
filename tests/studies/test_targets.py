"""Studies of a network that is not the encoder of the prior."""

import pytest

from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.studies.architectures import ITSELF, Architectures
from dgn.studies.lab import Budget, Lab
from dgn.studies.layers import Layers


@pytest.fixture(scope="module")
def lab() -> Lab:
    """With the architectures alone: it has no images and trains nothing."""
    encoder, target = mini_caffenet(classes=16), mini_resnet(width=8, classes=16)
    return Lab(None, {}, encoder, target, None, None, None, Budget())


def test_priors_are_of_the_encoders_layers(lab):
    convolutional, connected = Layers()._layers(lab)
    assert [*convolutional, *connected] == ["conv3", "conv5", "fc6", "fc7"]


def test_layers_that_are_looked_at_are_the_targets(lab):
    assert lab.maps() == ["conv1", "layer1", "layer2", "layer3"]
    assert lab.vectors() == [lab.target.code_layer()]


def test_the_target_is_one_of_the_architectures(lab):
    assert Architectures(targets={})._nets(lab) == {ITSELF: lab.encoder, "target": lab.target}
