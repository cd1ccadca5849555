"""One's own network, from a module or a file."""

import shlex

import pytest
import torch

from dgn.cli.config import compose, plain, register_resolvers
from dgn.cli.networks import network
from dgn.errors import UserError
from dgn.networks.custom import custom
from dgn.networks.zoo import build, named

FILE = """
import torch
from torch import nn
import beside

class Net(nn.Sequential):
    def __init__(self, width=4):
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(nn.Conv2d(3, width, 3), *pooled, nn.Linear(width, beside.CLASSES))

ready = Net()
number = 3

def make(width=4, fail=False):
    if fail:
        raise RuntimeError("no such width")
    return Net(width)

def wrong():
    return "a network"

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 2)

    def forward(self, x):
        return self.fc(x.flatten(1))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("CLASSES = 5\n")
    (tmp_path / "broken.py").write_text("import torch\nx = 1 / 0\n")
    (tmp_path / "pack_of_nets").mkdir()
    (tmp_path / "pack_of_nets" / "__init__.py").write_text("")
    (tmp_path / "pack_of_nets" / "one.py").write_text("from torch import nn\nNet = lambda: nn.Conv2d(3, 2, 1)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "args", "units"),
    [
        ("nets.py:make", {"width": 7}, 7),
        ("nets.py:Net", {}, 4),
        ("nets.py:ready", {}, 4),
        ("pack_of_nets.one:Net", {}, 2),
    ],
)
def test_a_function_a_class_a_module_from_a_file_or_a_package(model, args, units):
    net = custom(model, args)
    assert next(iter(net.network.parameters())).shape[0] == units


def test_without_further_keys_it_sees_image_space():
    net = custom("nets.py:make", data_size=8)
    images = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(net.input_space.enter(images), images)
    assert net.input_space.size == (8, 8)
    assert custom("nets.py:make").input_space.size is None
    assert custom("nets.py:Fixed", input_size=8).class_layer() == "fc"


def test_weights_come_from_a_file_as_for_any_network(folder):
    donor = custom("nets.py:make", seed=1)
    torch.save({"model": donor.network.state_dict()}, folder / "mine.pt")
    assert custom("nets.py:make", weights="mine.pt").fingerprint() == donor.fingerprint()
    assert custom("nets.py:make").fingerprint() != donor.fingerprint()
    assert custom("nets.py:make", seed=1).fingerprint() == donor.fingerprint()


@pytest.mark.parametrize(
    ("model", "args", "says"),
    [
        (None, {}, "give model="),
        ("nets.py", {}, "path/to/file.py:callable"),
        ("nowhere.py:make", {}, "no file nowhere.py"),
        ("nowhere.nets:make", {}, "no module 'nowhere'"),
        ("nets.py:missing", {}, "make"),
        ("nets.py:number", {}, "is a int"),
        ("nets.py:wrong", {}, "gave a str"),
        ("nets.py:make", {"depth": 3}, "depth"),
        ("nets.py:make", {"fail": True}, "RuntimeError: no such width (nets.py, line 16)"),
        ("nets.py:ready", {"width": 3}, "takes no args"),
        ("broken.py:make", {}, "ZeroDivisionError: division by zero (broken.py, line 2)"),
    ],
)
def test_errors_are_reported_in_one_line(model, args, says):
    with pytest.raises(UserError) as error:
        custom(model, args)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_failing_forward_is_reported_with_the_image_size():
    with pytest.raises(UserError, match=r"cannot be run on images of 16x16 pixels .*input_size="):
        custom("nets.py:Fixed", input_size=16).layers()


def test_a_spec_of_ones_own_code_is_never_run(folder):
    (folder / "marked.py").write_text("open('ran', 'w')\nfrom torch import nn\nNet = nn.Identity\n")
    spec = custom("nets.py:make", {"width": 3}, input_size=8).spec | {"model": str(folder / "marked.py:Net")}
    with pytest.raises(UserError, match="no file runs by itself"):
        build(spec)
    assert not (folder / "ran").exists()
    assert named(spec) == (
        f"target=custom target.model={folder}/marked.py:Net +target.args.width=3 target.input_size=8"
    )


def test_a_named_network_is_the_same_in_every_setting(folder):
    """Typed as it is said, in a shell and for Hydra, it sees what it saw, under the same labels."""
    said = {"input_size": [8, 6], "mean": [0.1, 0.2, 0.3], "channel_order": "BGR", "value_range": 255.0, "seed": 4}
    net = custom("nets.py:make", {"width": 3}, labels=["a cat", "it's", "x,y", "d", "e"], **said)
    register_resolvers()
    line = named(net.spec, "judge")
    config = compose("visualize", shlex.split(line))
    again = network(plain(config.judge))
    assert (again.input_space, again.labels, again.fingerprint()) == (net.input_space, net.labels, net.fingerprint())


def test_a_builder_that_ends_the_program_is_reported(tmp_path):
    (tmp_path / "leaving.py").write_text("import sys\n\ndef net():\n    sys.exit('no licence')\n")
    with pytest.raises(
        UserError, match=r"leaving.py:net cannot be made .*SystemExit: no licence \(leaving.py, line 4\)"
    ):
        custom(f"{tmp_path / 'leaving.py'}:net")
