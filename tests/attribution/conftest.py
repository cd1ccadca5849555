import pytest
import torch
from torch import nn

from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


def layers(rectifier: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        rectifier(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        rectifier(),
        nn.Flatten(),
        nn.Linear(5 * 36, 3),
    )


@pytest.fixture(scope="session")
def net() -> FeatureNet:
    """conv, relu, pool, conv, relu, linear on images of 12 pixels, with a mean and a scale of its own."""
    space = InputSpace((12, 12), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    return FeatureNet(layers(), space, "tiny", labels=("cat", "dog", "cow"))


@pytest.fixture(scope="session")
def smooth() -> FeatureNet:
    """The same with GELU."""
    return FeatureNet(layers(nn.GELU), InputSpace((12, 12)), "smooth", labels=("cat", "dog", "cow"))


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    return torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(3))
