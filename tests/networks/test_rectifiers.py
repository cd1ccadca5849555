"""Reading units below their ReLU: at the call and the port that were asked for, in the networks that people bring."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

ZOO = {
    "residual": ("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "regnet_x_400mf", "regnet_y_400mf"),
    "plain": ("alexnet", "squeezenet1_0", "squeezenet1_1", "densenet121", "mnasnet0_5", "mnasnet0_75"),
    "small": ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    "gated": ("efficientnet_b0", "regnet_y_800mf", "resnet34", "googlenet"),
}


def net_of(network: nn.Module, size: int = 64) -> FeatureNet:
    return FeatureNet(network, InputSpace((size, size)), "net")


@pytest.mark.parametrize("group", ZOO)
def test_every_call_of_every_rectifier_of_the_zoo_is_read_below_it(group):
    for name in ZOO[group]:
        torch.manual_seed(0)
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        net = net_of(models.get_model(name, weights=None, num_classes=4, **extra))
        modules = dict(net.network.named_modules())
        calls = [n for n, layer in net.layers().items() if isinstance(modules.get(layer.module), nn.ReLU | nn.ReLU6)]
        rectified = [n for n in calls if ":input" not in n]
        before = {n: net.before_rectifier(n) for n in rectified}
        assert all(before[n] != n for n in rectified), name
        found = net(torch.rand(1, 3, 64, 64), [*before, *before.values()])
        for layer, below in before.items():
            top = 6 if isinstance(modules[net.layer(layer).module], nn.ReLU6) else float("inf")
            assert torch.equal(found[below].clamp(0, top), found[layer]), (name, layer, below)


class Shared(nn.Module):
    """One ReLU, in place, called three times, once inside a block that gives two tensors; and one in a named block."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.pair = Pair(self.relu)
        self.tokens = nn.Sequential(nn.Linear(16, 8), nn.ReLU())

    def forward(self, x):
        x = self.relu(self.first(x))
        x, _ = self.pair(self.second(x))
        x = self.relu(self.third(x))
        return self.tokens(x.flatten(2)[..., :16]).mean(1)


class Pair(nn.Module):
    def __init__(self, relu: nn.Module) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x):
        plain = x * 2
        return self.relu(x), plain


def test_a_name_keeps_its_call_its_port_and_its_class_token():
    torch.manual_seed(0)
    net = net_of(Shared(), 16)
    images = torch.rand(2, 3, 16, 16)
    names = ["relu@0", "relu@1", "relu@2", "relu", "pair", "first:input", "pair:1", "second:input"]
    below = {name: net.before_rectifier(name) for name in names}
    assert below["pair:1"] == "pair:1"
    assert below["first:input"] == "first:input"
    with torch.no_grad():
        first = net.network.first(images)
        second = net.network.second(F.relu(first))
        third = net.network.third(F.relu(second))
    expected = {"relu@0": first, "relu@1": second, "relu@2": third, "relu": third, "pair": second}
    expected["second:input"] = first
    found = net(images, list(below.values()))
    for name, value in expected.items():
        torch.testing.assert_close(found[below[name]], value)
    # The class token of rectified tokens is a rectified class token; their mean is no rectified mean.
    assert net.before_rectifier("tokens:class") == "tokens.1:input:class"
    assert net.before_rectifier("tokens:mean") == "tokens:mean"


def test_modules_that_are_only_named_relu_are_not_treated_as_rectifiers():
    class ReLU(nn.Module):
        def forward(self, x):
            return F.leaky_relu(x, 0.5)

    class Doubled(nn.ReLU):
        def forward(self, x):
            return 2 * super().forward(x)

    net = net_of(nn.Sequential(nn.Conv2d(3, 4, 3), ReLU(), nn.Conv2d(4, 4, 3), Doubled()), 16)
    assert net.before_rectifier("1") == "1"
    assert net.before_rectifier("3") == "3"
