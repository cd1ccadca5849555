"""Gradients that are cut on one of several paths, and honest networks whose gradients are whole."""

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision import models

from dgn.errors import UserError
from dgn.networks import libraries
from dgn.networks.cuts import noted_cuts
from dgn.networks.featurenet import FeatureNet
from dgn.networks.gradients import lost
from dgn.networks.inputs import InputSpace
from dgn.networks.usable import _images, check


class Branched(nn.Module):
    """A residual network; `join` adds what the branch computes."""

    def __init__(self, join) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU())
        self.branch = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
        for layer in (0, 2):
            self.branch[layer].weight.data *= 3  # as large as what it is added to
        self.head = nn.Linear(8, 10)
        self.join = join

    def forward(self, x):
        x = self.join(self.stem(x), self.branch)
        return self.head(x.relu().mean((2, 3)))


def net_of(network: nn.Module, size: int = 32) -> FeatureNet:
    return FeatureNet(network, InputSpace((size, size)), "net")


def under_no_grad(x, branch):
    with torch.no_grad():
        y = branch(x)
    return x + y


@torch.inference_mode()
def inferred(x, branch):
    return branch(x)


def inside_the_branch(x, branch):
    y = branch[1](branch[0](x)).detach()
    return x + branch[2](y)


def grad_disabled(x, branch):
    torch.set_grad_enabled(False)
    y = branch(x)
    torch.set_grad_enabled(True)
    return x + y


def one_half(x, branch):
    first, second = x.chunk(2, 1)
    return branch(torch.cat([first, second.detach()], 1))


class Passing(torch.autograd.Function):
    """Gives no gradient back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


CUTS = {
    "no_grad": (under_no_grad, "no_grad"),
    "decorated": (lambda x, branch: x + torch.no_grad()(branch)(x), "no_grad"),
    "inference_mode": (lambda x, branch: x + inferred(x, branch).clone(), "inference_mode"),
    "set_grad_enabled": (grad_disabled, "no_grad"),
    "detached branch": (lambda x, branch: x + branch(x).detach(), "detach"),
    "detached input of the branch": (lambda x, branch: x + branch(x.detach()), "detach"),
    "detached skip": (lambda x, branch: x.detach() + branch(x), "detach"),
    "data": (lambda x, branch: x + branch(x).data, ".data"),
    "numpy": (lambda x, branch: x + branch(torch.from_numpy(x.detach().numpy())), "numpy"),
    "list": (lambda x, branch: branch(x) + torch.tensor(x.tolist()), "numpy"),
    "inside the branch": (inside_the_branch, "detach"),
    "half of the channels": (one_half, "detach"),
}


@pytest.mark.parametrize("kind", CUTS)
def test_a_cut_on_one_of_several_paths_is_found_and_named(kind):
    join, cause = CUTS[kind]
    torch.manual_seed(0)
    net = net_of(Branched(join))
    check(net, "target", ["stem"])
    check(net, "encoder", ["head"])
    with pytest.raises(UserError, match=r"cut on one of its paths, a missing part of \d+%") as error:
        check(net, "comparator", ["head"])
    message = str(error.value)
    assert "\n" not in message
    assert "net cannot be the comparator: the gradient from head" in message
    assert cause in message
    assert "test_gradients.py, line" in message
    assert "in branch" in message or "in the network's forward (Branched)" in message


@pytest.mark.parametrize(("kind", "share"), [("no_grad", 1), ("detached skip", -1)])
def test_the_missing_share_is_that_of_the_path(kind, share):
    """A linear network whose two paths are known: f = ax + bx, so that b / (a + b) of the slope is missing."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Conv2d(3, 3, 1, bias=False, groups=3)
            self.branch.weight.data.fill_(0.25)

        def forward(self, x):
            return CUTS[kind][0](x, self.branch)

    net = net_of(Linear())
    images = _images(net, 2).requires_grad_(True)
    with noted_cuts(net.network) as seen:
        activations = net(images, ["output"])
    (loss,) = lost(net, images, activations, seen).values()
    assert loss.share == pytest.approx(0.2 if share > 0 else 0.8, abs=1e-3)


WARNED = {
    "normalization": (lambda x, branch: branch(x) / x.detach().square().mean((1, 2, 3), True).sqrt(), "detach"),
    "gate": (lambda x, branch: x * branch(x).sigmoid().detach(), "detach"),
    "own function": (lambda x, branch: x + branch(Passing.apply(x)), "backward of its own"),
    "rounding": (lambda x, branch: x + branch((x * 9).round() / 9), "rounding"),
    "bytes": (lambda x, branch: x + branch((x * 255).byte().float() / 255), "whole numbers"),
}


@pytest.mark.parametrize("kind", WARNED)
def test_a_path_without_slope_by_design_is_warned_of_in_one_line(kind, caplog):
    torch.manual_seed(0)
    join, cause = WARNED[kind]
    net = net_of(Branched(join))
    with caplog.at_level(logging.WARNING):
        check(net, "target", ["head"])
    (record,) = caplog.records
    assert "missing part" in record.message
    assert "\n" not in record.message
    assert cause in record.message
    assert "test_gradients.py, line" in record.message


def straight_through(x, branch):
    y = branch(x)
    return x + y + ((y * 4).round() / 4 - y).detach()


def top_half(x, branch):
    y = branch(x)
    return x + y * (y >= y.mean((2, 3), keepdim=True))


def by_index(x, branch):
    y = branch(x)
    order = y.mean((2, 3)).argsort(1)
    return x + y.gather(1, order[:, :, None, None].expand_as(y))


def logged(x, branch):
    logged.last = x.detach().mean().item()
    return x + branch(x)


def codebook(y):
    centres = torch.linspace(-1, 1, 9)
    return centres[(y[..., None] - centres).abs().argmin(-1)].to(y)


class Swish(torch.autograd.Function):
    """As memory-efficient networks have it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        return gradient * (gate * (1 + x * (1 - gate)))


HONEST = {
    "plain": lambda x, branch: x + branch(x),
    "straight-through": straight_through,
    "mask": top_half,
    "order": by_index,
    "logging": logged,
    "max pooling": lambda x, branch: F.max_pool2d(x + branch(x), 3, 2),
    "hard sigmoid": lambda x, branch: x * F.hardsigmoid(branch(x)),
    "hard swish": lambda x, branch: F.hardswish(x + branch(x)),
    "dropout left on": lambda x, branch: F.dropout(x + branch(x), 0.5),
    "noise": lambda x, branch: x + branch(x) + torch.randn_like(x) / 10,
    "codebook": lambda x, branch: x + (codebook(branch(x)) - branch(x)).detach() + branch(x),
    "own swish": lambda x, branch: x + Swish.apply(branch(x)),
    "floor of the size": lambda x, branch: F.interpolate(x + branch(x), (int(torch.tensor(32.0) // 2),) * 2),
    "top of classes": lambda x, branch: (
        x + branch(x) * F.one_hot(branch(x).mean((2, 3)).argmax(1), 8)[:, :, None, None]
    ),
    "clamped": lambda x, branch: (x + branch(x)).clamp(0, 0.3),
    "no branch": lambda x, branch: x,
    "constant": lambda x, branch: x + branch(torch.ones_like(x)),
    "batch statistics": lambda x, branch: x + branch(x - x.mean(0, keepdim=True)),
    "checkpoint": lambda x, branch: x + checkpoint(branch, x, use_reentrant=False),
    "minimum": lambda x, branch: torch.minimum(x, branch(x)) + torch.sort(x, 1).values,
    "silent": lambda x, branch: x * 0 - 1,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", HONEST)
def test_honest_networks_pass(kind, dtype, caplog):
    for seed in range(3):
        torch.manual_seed(seed)
        net = net_of(Branched(HONEST[kind]).to(dtype))
        check(net, "target", ["head", "stem"])
    assert not caplog.records


def test_low_precision_hides_no_cut():
    for dtype in (torch.bfloat16, torch.float16):
        torch.manual_seed(0)
        net = net_of(Branched(under_no_grad).to(dtype))
        before = copy.deepcopy(net.network.state_dict())
        with pytest.raises(UserError, match="no_grad"):
            check(net, "target", ["head"])
        assert net.dtype == dtype
        assert all(torch.equal(before[key], value) for key, value in net.network.state_dict().items())


SMALL = ["alexnet", "densenet121", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "vgg11"]


@pytest.mark.parametrize("name", SMALL)
def test_networks_of_torchvision_pass(name, caplog):
    torch.manual_seed(0)
    net = libraries.torchvision(name, input_size=64)
    check(net, "target", [net.class_layer()])
    check(net, "comparator", [net.trunk()])
    assert not caplog.records


def test_one_frozen_block_of_a_resnet_is_named():
    torch.manual_seed(0)
    network = models.resnet18()
    block = network.layer2[1]
    block.forward = torch.no_grad()(block.forward)  # the whole trunk passes here
    with pytest.raises(UserError, match=r"no gradient comes from fc .*in layer2\.1\.conv1 \(Conv2d\).*no_grad"):
        check(net_of(network, 64), "target", ["fc"])
    network = models.resnet18()
    network.layer2[1].conv1.forward = torch.no_grad()(network.layer2[1].conv1.forward)
    with pytest.raises(UserError, match=r"one of its paths, .*in layer2\.1\.conv1 \(Conv2d\).*no_grad"):
        check(net_of(network, 64), "target", ["layer2"])
