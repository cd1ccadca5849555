import pytest
import torch
from torch import nn

from dgn.am.setting import Setting
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.inputs import InputSpace
from dgn.prior import Prior
from dgn.prior.code_model import CodeModel
from dgn.prior.statistics import UnitStatistics

SIZE = 12


@pytest.fixture
def target() -> FeatureNet:
    """For 12-px images: a map (layer 1, rectified, 4x6x6), a vector (3, rectified, 5 units), four logits (4) and their
    softmax (5)."""
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 5)),
        nn.ReLU(),
        nn.Linear(5, 4),
        nn.Softmax(1),
    )
    for layer in (layers[0], layers[2][1], layers[4]):  # as excitable as a trained network
        layer.weight.data *= 3
    layers[2][1].bias.data.fill_(2.0)  # and none of its units silent at the start
    space = InputSpace(size=(SIZE, SIZE), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    return FeatureNet(layers, space, "tiny", labels=["house", "tree", "boat", "cat"])


@pytest.fixture
def prior(target: FeatureNet) -> Prior:
    """A prior of the target's layer 3, with three principal axes, whose encoder is the target itself."""
    torch.manual_seed(0)
    generator = UpconvGenerator((5,), SIZE, "fc 12, reshape 3x2x2, up 4, up 4, up 3").requires_grad_(False)
    mean, std, low, high = (torch.full((5,), value) for value in (1.0, 0.5, 0.0, 3.0))
    statistics = UnitStatistics(mean, std, low, high, 10, axes=torch.eye(5)[:3], axes_std=std[:3])
    about = {"layer": "3", "encoder": {"name": "tiny", "spec": {}, "fingerprint": target.fingerprint()}}
    return Prior(generator, statistics, about, _encoder=target)


@pytest.fixture
def normal_prior(prior: Prior) -> Prior:
    """The prior with a code model whose codes are normal along its three axes."""
    std = torch.tensor([2.0, 1.0, 0.5])
    prior.statistics.axes, prior.statistics.axes_std = torch.eye(5)[:3].contiguous(), std
    prior.code_model = CodeModel(3, width=8, blocks=1).requires_grad_(False)
    prior.code_model.std.copy_(std)
    return prior


@pytest.fixture
def photos() -> torch.Tensor:
    """Smooth random pictures (20, 3, 12, 12)."""
    coarse = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1)


@pytest.fixture
def setting(target: FeatureNet, prior: Prior, photos: torch.Tensor) -> Setting:
    return Setting(target, prior, images=lambda count: iter(photos[:count].split(8)))
