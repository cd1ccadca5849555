import pytest
import torch
from torch import nn

from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


@pytest.fixture
def net():
    """Two convolutions, a pooled vector, three classes, on 12-px images."""
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(3, 5, 3, padding=1))
    layers.add_module("relu1", nn.ReLU())
    layers.add_module("conv2", nn.Conv2d(5, 4, 3, stride=2))
    layers.add_module("pool", nn.AdaptiveAvgPool2d(1))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("fc", nn.Linear(4, 3))
    space = InputSpace(size=(12, 12), mean=(0.5,) * 3, std=(0.25,) * 3)
    return FeatureNet(layers, space, "tiny", labels=("ant", "bee", "cow"), aliases={"conv1": "relu1"})
