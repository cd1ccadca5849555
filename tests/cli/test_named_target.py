"""The network of target=, where it is the encoder of the prior, and where the data name its classes."""

import numpy as np
import pytest
import torch

from dgn.cli import compare
from dgn.cli.config import compose, plain
from dgn.cli.roles import load_target
from dgn.data.datamodule import ImageData
from dgn.data.imagenet import class_names
from dgn.errors import UserError
from dgn.networks.custom import custom
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics

NETS = """
import torch
from torch import nn

def make(classes=3, seed=0):
    torch.manual_seed(seed)
    features = [nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*features, nn.Linear(4, classes))
"""
KEYS = {
    **dict.fromkeys(("args", "weights", "container", "labels", "input_size", "mean", "std", "channel_order")),
    **dict.fromkeys(("value_range", "fit", "resize", "layer", "layers")),
    "allow_missing": [],
    "allow_unexpected": [],
    "classes": "auto",
    "seed": 0,
}


class Source(torch.utils.data.Dataset):
    def __init__(self, classes):
        self.classes = classes

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(3, 16, 16, dtype=torch.uint8), index % len(self.classes)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return f"{tmp_path / 'nets.py'}:make"


@pytest.fixture
def prior(model):
    """A prior of a network whose labels, mean and size were given."""
    encoder = custom(model, labels=["a", "b", "c"], mean=[0.1, 0.2, 0.3], input_size=16, channel_order="BGR")
    units = torch.zeros(4)
    about = {
        "layer": "4:input",
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": {"classes": ["a", "b", "c"]},
    }
    generator = UpconvGenerator((4,), 16, width=0.05)
    return Prior(generator, UnitStatistics(units, units + 1, units, units, 10), about)


def target(model, prior=None, data=None, **given):
    settings = KEYS | {"_target_": "dgn.networks.custom.custom", "model": model} | given
    return load_target(settings, [prior] if prior else [], torch.device("cpu"), data)


def test_what_is_not_given_of_the_priors_encoder_is_as_it_was_for_the_prior(model, prior):
    net = target(model, prior)
    assert net.labels == ("a", "b", "c")
    assert net.input_space == custom(model, mean=[0.1, 0.2, 0.3], input_size=16, channel_order="BGR").input_space
    given = target(model, prior, labels=["x", "y", "z"], mean=[0.5, 0.5, 0.5])
    assert given.labels == ("x", "y", "z")
    assert (given.input_space.mean, given.input_space.channel_order) == ((0.5, 0.5, 0.5), "BGR")


def test_another_network_of_the_same_code_gets_nothing_of_the_prior(model, prior):
    for args in ({"seed": 1}, {"classes": 4}):
        net = target(model, prior, args=args)
        assert net.labels == ()
        assert net.input_space.mean == (0.0, 0.0, 0.0)


def test_other_weights_of_the_same_code_get_nothing_of_the_prior(model, prior, tmp_path):
    other = custom(model, args={"seed": 1})
    torch.save(other.network.state_dict(), tmp_path / "other.pt")
    assert target(model, prior, weights=str(tmp_path / "other.pt")).labels == ()


def test_classes_are_those_of_the_data_or_of_the_priors_data(model, prior):
    other = {"args": {"seed": 1}, "classes": "data"}
    data = ImageData(Source(("k", "l", "m")), Source(("k", "l", "m")), 16)
    assert target(model, prior, data, **other).labels == ("k", "l", "m")
    assert target(model, prior, **other).labels == ("a", "b", "c")
    with pytest.raises(UserError, match=r"no data with classes here.*data=image_folder"):
        target(model, **other)


@pytest.mark.parametrize("classes", ["auto", "data"])
def test_a_network_of_a_thousand_outputs_over_folders_of_imagenet_has_its_names(model, classes):
    data = ImageData(Source(("n01440764", "n02123045")), Source(("n01440764", "n02123045")), 16)
    assert data.classes == ("tench", "tabby")
    net = target(model, None, data, args={"classes": 1000}, classes=classes)
    assert net.labels == class_names()
    assert np.flatnonzero([name in data.classes for name in net.labels]).tolist() == [0, 281]
    assert net.class_layer() == "4"
    assert target(model, None, data, args={"classes": 7}).labels == ()


def test_compare_takes_the_same_settings(model, prior, monkeypatch):
    given = ["target=custom", f"target.model={model}", "judge=none", "reference_images=0"]
    task = compare._make_task(plain(compose("compare", given)), torch.device("cpu"), prior)
    assert task.target.labels == ("a", "b", "c")
    assert (
        task.target.input_space == custom(model, mean=[0.1, 0.2, 0.3], input_size=16, channel_order="BGR").input_space
    )
    assert [objective.label for objective in task.objectives] == ["a", "b", "c"]
    given += ["target.args={seed: 1}", "target.classes=data", "units=all"]
    data = ImageData(Source(("k", "l", "m")), Source(("k", "l", "m")), 16)
    monkeypatch.setattr(compare, "open_data", lambda prior, settings: data)
    assert compare._make_task(plain(compose("compare", given)), torch.device("cpu"), prior).target.labels == (
        "k",
        "l",
        "m",
    )


def test_compare_says_where_layers_are_listed():
    with pytest.raises(UserError, match=r"target.layers=list: .*visualize.* prints layers"):
        compare.read_comparison(plain(compose("compare", ["target.layers=list"])))
