from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from dgn.data.datamodule import to_image_space
from dgn.data.doodles import CLASSES, Doodles
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


@dataclass(frozen=True)
class World:
    """Two small networks fitted to doodles of 32 px, and others of these doodles.

    Attributes:
        target: a network with the layers conv1, conv2, conv3, fc4 and fc5 (the classes).
        judge: another architecture, fitted from other weights.
        images: (N, 3, 32, 32), which neither was fitted to.
        labels: (N,), their classes.
    """

    target: FeatureNet
    judge: FeatureNet
    images: torch.Tensor
    labels: torch.Tensor


@pytest.fixture(scope="session")
def world() -> World:
    train, labels = _doodles("train", 1280)
    images, others = _doodles("val", 640)
    target, judge = (_fitted(seed, train, labels) for seed in (0, 1))
    return World(target, judge, images, others)


def _doodles(split: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    data = Doodles(split, 32, count)
    pairs = [data[i] for i in range(count)]
    return to_image_space(torch.stack([image for image, _ in pairs])), torch.tensor([label for _, label in pairs])


def _fitted(seed: int, images: torch.Tensor, labels: torch.Tensor) -> FeatureNet:
    torch.manual_seed(seed)
    width = 16 + 8 * seed
    modules = nn.Sequential(
        OrderedDict(
            conv1=nn.Sequential(nn.Conv2d(3, width, 5, 2, 2), nn.ReLU()),
            conv2=nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU()),
            conv3=nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, 2, 1), nn.ReLU()),
            fc4=nn.Sequential(nn.Flatten(), nn.Linear(32 * width, 64), nn.ReLU()),
            fc5=nn.Linear(64, len(CLASSES)),
        )
    )
    optimizer = torch.optim.Adam(modules.parameters(), 2e-3)
    for _ in range(12):
        for batch in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(modules(4 * images[batch] - 2), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    space = InputSpace(size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    return FeatureNet(modules, space, f"small{seed}", labels=CLASSES)
