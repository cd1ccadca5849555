"""Networks of strangers: whether each can take a role, and what is said where it cannot."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.usable import check


class Stranger(nn.Module):
    """A small network; `odd` stands between its two blocks."""

    def __init__(self, odd) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.body = nn.Conv2d(4, 8, 3)
        self.head = nn.Linear(8, 10)
        self.odd = odd

    def forward(self, x):
        x = self.odd(self.stem(x), self.body)
        return self.head(x.mean((2, 3)))


def without_grad(x, body):
    with torch.no_grad():
        return body(x)


def in_inference_mode(x, body):
    with torch.inference_mode():
        x = body(x)
    return x.clone()


def straight(x, body):
    return body(x)


class Stairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x * 4).floor() / 4

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


CUTS = {
    "no_grad": (without_grad, "no_grad"),
    "inference_mode": (in_inference_mode, "inference_mode"),
    "detach": (lambda x, body: body(x.detach()), "detach"),
    "data": (lambda x, body: body(x.data), "detach"),
    "numpy": (lambda x, body: body(torch.from_numpy(x.detach().numpy().copy())), "numpy"),
    "list": (lambda x, body: body(torch.tensor(x.tolist())), "detach"),
    "bytes": (lambda x, body: body((x * 255).byte().float() / 255), "whole numbers"),
    "integers": (lambda x, body: body((x * 9).long().float()), "whole numbers"),
    "round": (lambda x, body: body((x * 9).round()), "rounding"),
    "sign": (lambda x, body: body((x - 0.1).sign()), "sign"),
    "comparison": (lambda x, body: body((x > 0.1).float()), "whole numbers"),
    "own function": (lambda x, body: body(Stairs.apply(x)), "rounding"),
    "reentrant": (lambda x, body: checkpoint(body, x, use_reentrant=True), "use_reentrant=False"),
}


def net_of(network: nn.Module, size: int | None = 16) -> FeatureNet:
    torch.manual_seed(0)
    return FeatureNet(network, InputSpace(size and (size, size)), "net")


@pytest.mark.parametrize("role", ["comparator", "target"])
@pytest.mark.parametrize("kind", CUTS)
def test_every_interrupted_gradient_is_reported_before_the_first_step(kind, role):
    odd, cause = CUTS[kind]
    net = net_of(Stranger(odd))
    check(net, role, ["stem", "stem.0"])  # before the cut all is well
    check(net, "encoder", ["head", "body"])  # and codes need no gradient
    check(net, "judge", ["head"])
    for layer in ("head", "body", "output"):
        with pytest.raises(UserError) as error:
            check(net, role, [layer])
        message = str(error.value)
        assert "\n" not in message
        assert cause in message
        assert f"cannot be the {role}" in message
        assert layer in message
        assert "stem" in message or "body" in message


def test_the_check_works_whatever_mode_the_caller_is_in():
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            check(net_of(Stranger(straight)), "target", ["head"])
            with pytest.raises(UserError, match="no_grad"):
                check(net_of(Stranger(without_grad)), "target", ["head"])


def test_silent_units_and_checkpointing_without_reentry_are_no_cut():
    class Silent(nn.Module):
        def forward(self, x):
            return F.relu(-1 - x.mean((2, 3)))

    check(net_of(Silent()), "target", ["output"])
    check(net_of(Stranger(lambda x, body: checkpoint(body, x, use_reentrant=False))), "target", ["head", "body"])


def test_a_network_that_passed_is_not_run_again():
    net = net_of(Stranger(straight))
    check(net, "target", ["head"])
    net.network.forward = None  # to run it would fail
    check(net, "target", ["head"])


class Unlike(nn.Module):
    def __init__(self, of) -> None:
        super().__init__()
        self.body, self.of = nn.Conv2d(3, 8, 3), of

    def forward(self, x):
        return self.of(self.body(x))


def drifting():
    calls = []

    def forward(x):
        calls.append(1)
        return x.mean((2, 3))[:, : 8 - len(calls) % 2]

    return forward


@pytest.mark.parametrize(
    ("of", "role", "says"),
    [
        (lambda x: x.mean((2, 3)).squeeze(), "encoder", "one image"),
        (lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(), "target", r"squeeze\(\)"),
        (drifting(), "judge", "changes from call to call"),
        (lambda x: x.mean((2, 3)) / 0 * 0, "encoder", "not finite on 2 images of plain noise, first at"),
        (
            lambda x: (x - x.mean((0, 2, 3), keepdim=True)).mean((2, 3)) / len(x[1:]),
            "target",
            "not finite on one image",
        ),
    ],
)
def test_a_network_that_cannot_have_a_role_is_reported_with_the_cause(of, role, says):
    with pytest.raises(UserError, match=says) as error:
        check(net_of(Unlike(of)), role, ["output"])
    assert f"cannot be the {role}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_weight_that_is_not_finite_is_named():
    net = net_of(Stranger(straight))
    net.network.body.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"body\.weight holds values that are not finite"):
        check(net, "encoder", ["head"])


def test_an_error_in_a_users_forward_is_reported_at_its_line():
    def crash(x, body):
        raise KeyError("no such gate")

    with pytest.raises(UserError, match=r"KeyError: 'no such gate' .*test_usable\.py, line \d+") as error:
        net_of(Stranger(crash)).layers()
    assert "input_size" not in str(error.value)


def test_an_error_in_a_users_backward_is_reported_at_its_line():
    net = net_of(Stranger(lambda x, body: body(torch.from_numpy(x.numpy()))))
    with pytest.raises(UserError, match=r"own code raises RuntimeError: .*numpy.*test_usable\.py, line \d+"):
        check(net, "target", ["head"])


def test_the_size_is_given_where_size_is_the_cause():
    fixed = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(4 * 31 * 31, 5))
    with pytest.raises(UserError, match=r"on 64x64: set input_size=64"):
        net_of(fixed, 32).layers()


def test_the_number_of_channels_is_reported_if_it_is_the_cause():
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with pytest.raises(UserError, match=r"takes images of 1 channel \(grey\), and those that enter have 3"):
        net_of(grey).layers()


def test_networks_without_parameters_are_networks():
    class Filters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("filters", torch.tensor(np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3)))

        def forward(self, x):
            return F.conv2d(x.mean(1, keepdim=True), self.filters)

    for network in (Filters(), nn.Sequential(nn.AvgPool2d(2), nn.Flatten())):
        net = net_of(network)
        check(net, "target", ["output"])
        assert net.device == torch.device("cpu")


def test_a_size_that_may_be_the_cause_is_reported():
    odd = nn.Sequential(nn.Flatten(), nn.Linear(3 * 50 * 70, 5))
    with pytest.raises(UserError, match=r"cannot be multiplied.*input_size="):
        net_of(odd, 32).layers()


def base() -> nn.Sequential:
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), *pooled)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["script", "trace"])
def test_torchscript_has_only_its_output_layer_and_reports_it(kind):
    make = {"script": torch.jit.script, "trace": lambda net: torch.jit.trace(net.eval(), torch.rand(2, 3, 16, 16))}[
        kind
    ]
    net = net_of(make(base()))
    check(net, "target", ["output"])
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(net(images, ["output"])["output"], base()(images))
    for ask in (lambda: net.layer("1"), net.trunk, net.code_layer):
        with pytest.raises(UserError, match="TorchScript module shows its output alone"):
            ask()


def test_wrappers_of_torch_are_looked_through():
    for network in (torch.compile(base(), backend="eager"), nn.DataParallel(base())):
        net = net_of(network)
        assert "1" in net.layers()
        check(net, "target", ["1", "5" if "5" in net.layers() else "4"])


def test_lazy_modules_get_their_shapes_in_a_first_run():
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(10)

        def forward(self, x):
            return self.head(self.norm(self.conv(x)).relu().flatten(1))

    net = net_of(Lazy())
    assert net.layer("head").shape == (10,)
    check(net, "target", ["head"])
    assert len(net.fingerprint()) == 64

    class Never(Lazy):
        def forward(self, x):
            return self.conv(x)

    with pytest.raises(UserError, match=r"norm\.weight still has no shape after a first run"):
        net_of(Never())
    with pytest.raises(UserError, match="first run, and that fails on images of 2x2 pixels"):
        net_of(Lazy(), 2)


def test_a_dataclass_is_a_module_s_several_tensors():
    @dataclass
    class Out:
        logits: torch.Tensor
        features: torch.Tensor
        loss: None = None

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x, scale=1.0):
            x = self.body(x)
            return Out(self.head(x.mean((2, 3))) * scale, x)

    net = net_of(Net())
    assert net.layer("output").shape == (5,)
    assert net.layer("output:features").shape == (4, 14, 14)
    check(net, "target", ["output", "output:features"])
