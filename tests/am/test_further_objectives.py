"""Levels, regions, functions, and several networks in one objective."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dgn import Fourier, Pixels, Stage, function, level, maximize
from dgn.am.objectives.evaluation import Evaluation, objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.parametrizations import Code
from dgn.am.regularizers import StayNear, Within
from dgn.am.setting import Setting
from dgn.am.updates import Adam, NormalizedAscent
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.named_networks import NamedNetworks

MINE = """
def energy(activations):
    return activations.flatten(1).square().sum(1)

def redness(images):
    return images[:, 0].mean((1, 2))

def broken(activations):
    return activations.sum()

def cut(activations):
    return activations.detach().flatten(1).sum(1)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of functions and one of a mask, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    mask = np.zeros((12, 12), np.uint8)
    mask[:6] = 255  # the upper half
    Image.fromarray(mask).save("upper.png")
    np.save("weights.npy", np.arange(36.0).reshape(6, 6))


@pytest.fixture
def both(target):
    """The target, and one with other weights and names that is called b."""
    torch.manual_seed(7)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 4))
    other = FeatureNet(network, InputSpace(size=(12, 12)), "other", labels=["hut", "bush", "ship", "dog"])
    return NamedNetworks(target, {"b": other})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level(4:tree, 2.5)", ["level(4:1,2.5)"]),
        ("level(4:0-1,-3)", ["level(4:0,-3)", "level(4:1,-3)"]),
        ("level(1:2@3,3,0.5)*2", ["2*level(1:2@3,3,0.5)"]),
        ("level(softmax(4:1),.5)", ["level(softmax(4:1),0.5)"]),
        ("region(1:0-1,upper.png)", ["region(1:0,upper.png)", "region(1:1,upper.png)"]),
        ("region(1:3,weights.npy)-4:2", ["region(1:3,weights.npy)-4:2"]),
        ("function(3,mine.py:energy)+0.5*function(images,mine.py:redness)",
         ["function(3,mine.py:energy)+0.5*function(images,mine.py:redness)"]),
        ("4:house-b/3:hut", ["4:0-b/3:0"]),
        ("b/1:2@mean*4:1, direction(b/3,{0:1,2:-1}), softmax(b/3:dog)",
         ["b/1:2@mean*4:1", "direction(b/3,{0:1,2:-1})", "softmax(b/3:3)"]),
        ("level(b/3:1,2), region(b/1:0,upper.png), dream(b/1)",
         ["level(b/3:1,2)", "region(b/1:0,upper.png)", "dream(b/1)"]),
    ],
)  # fmt: skip
def test_the_language_prints_what_it_parses(both, mine, text, expected):
    objectives = parse_units(text, both)
    assert [str(objective) for objective in objectives] == expected
    assert parse_units(expected, both) == objectives


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level(4:1)", "a ',' is missing"),
        ("level(4:1,high)", "a number is missing here"),
        ("level(4:1+4:2,1)", "level(...) takes a unit and a value, and 4:1+4:2 is no unit"),
        ("region(4:1,upper.png)", "region(...) takes channels of a map"),
        ("region(1:1,nothing.png)", "nothing.png"),
        ("function(3,mine.py:absent)", "function=mine.py:absent: mine.py has no 'absent'; it has energy, redness"),
        ("b/9:1", "no layer '9' in other"),
    ],
)
def test_what_cannot_be_parsed_is_said_with_its_place(both, mine, text, message):
    with pytest.raises(UserError) as error:
        parse_units(text, both)
    assert message in str(error.value)
    assert "at character" in str(error.value)


def test_the_values_are_those_of_numpy(both, target, mine, photos):
    text = "level(4:1,0.7), region(1:2,weights.npy), function(3,mine.py:energy), function(images,mine.py:redness), "
    objectives = parse_units(text + "4:0-b/3:0, level(3:1,0.2)-function(3,mine.py:energy)", both)
    a = target(photos, ["1", "3", "4"])
    b = both.others["b"](photos, ["3"])["3"]
    weights = np.arange(36.0).reshape(6, 6) / np.arange(36.0).sum()
    energy = a["3"].square().sum(1)
    expected = [
        -(a["4"][:, 1] - 0.7).abs(),
        (a["1"][:, 2].numpy() * weights).sum((1, 2)),
        energy,
        photos[:, 0].mean((1, 2)),
        a["4"][:, 0] - b[:, 0],
        -(a["3"][:, 1] - 0.2).abs() - energy,
    ]
    expected = torch.stack([torch.as_tensor(values).float() for values in expected], 1)
    values = objective_values(both, objectives, photos)
    torch.testing.assert_close(values, expected, atol=1e-4, rtol=1e-4)
    together = Evaluation(objectives * 2)
    found = together(both(photos[:12], together.layers))
    torch.testing.assert_close(found, values[range(12), [*range(6), *range(6)]], atol=1e-4, rtol=1e-4)


def test_a_level_of_a_rectified_unit_is_read_below_its_rectifier(target):
    (objective,) = parse_units("level(1:2,0.5)", target)
    assert str(below_rectifier(objective, target)) == "level(1:input:2@3,3,0.5)"


def test_eleven_levels_are_hit(target, setting, photos):
    """Within 5% of the range of real images, as a neuron's tuning is measured."""
    real = objective_values(target, parse_units("4:2", target), photos)[:, 0]
    low, high = float(real.min()), float(real.max())
    wanted = torch.linspace(low, high, 11)
    stage = Stage(Pixels(setting, noise=10), NormalizedAscent, steps=60)
    found = maximize(target, [level("4", 2, float(value)) for value in wanted], stage, [0])
    reached = objective_values(target, parse_units("4:2", target), found.images)[:, 0]
    assert (reached - wanted).abs().max() < 0.05 * (high - low)


def test_two_networks_are_set_against_each_other(both, setting, prior):
    objectives = parse_units("4:0-b/3:0, b/3:0-4:0", both)
    found = maximize(both, objectives, Stage(Code(Setting(both, prior)), NormalizedAscent, steps=20), [0])
    each = objective_values(both, parse_units("4:0, b/3:0", both), found.images)
    assert each[0, 0] - each[0, 1] > each[1, 0] - each[1, 1]
    torch.testing.assert_close(found.activations[0], each[0, 0] - each[0, 1], atol=1e-4, rtol=1e-4)


def test_functions_that_cannot_be_followed_are_refused_in_one_line(target, setting, mine):
    stage = Stage(Pixels(setting), NormalizedAscent, steps=2)
    for name, message in (
        ("broken", r"gave a tensor of shape \(\) for 1 images"),
        ("cut", "the gradient does not pass"),
    ):
        with pytest.raises(UserError, match=message):
            maximize(target, f"function(3,mine.py:{name})", stage, [0])
    with pytest.raises(UserError, match=r"fails on \(1, 5\): KeyError: 'x'"):
        maximize(target, function(lambda activations: {}["x"], "3"), stage, [0])


def test_a_penalty_keeps_an_image_near_its_start(target, photos):
    setting = Setting(target, begin=photos[:1])
    distances, activations = [], []
    for weight in (0.0, 3.0, 30.0):
        regularizers = [StayNear(setting, weight, "3")]
        found = maximize(target, "4:0", Stage(Pixels(setting), lambda: Adam(3.0), regularizers, 30), [0])
        codes = target(torch.cat([photos[:1], found.images]), ["3"])["3"]
        distances.append(float((codes[1] - codes[0]).square().sum() / codes[0].square().sum()))
        activations.append(float(found.activations))
    assert distances[0] > distances[1] > distances[2]
    assert activations[0] > activations[1] > activations[2]


@pytest.mark.parametrize("parametrization", [Pixels, Fourier])
def test_only_the_region_changes(target, photos, mine, parametrization):
    photo = photos[:1].mul(255).round().div(255)
    photo[..., 9, :], photo[..., 10, :] = 0, 1  # which a sigmoid never reaches
    setting = Setting(target, begin=photo)
    stage = Stage(parametrization(setting), lambda: Adam(6.0 if parametrization is Pixels else 0.1),
                  [Within("upper.png")], 12)  # fmt: skip
    found = maximize(target, "4:0", stage, [0])
    change = (found.images - photo).abs().amax(1)[0]
    assert change[:5].max() > 0.1
    assert torch.equal(found.images[..., 7:, :].mul(255).round(), photo[..., 7:, :].mul(255).round())
    assert found.activations > objective_values(target, parse_units("4:0", target), photo)[0, 0]


def test_the_relevant_region_is_where_the_unit_looks(photos):
    left = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 2, bias=False))
    left[1].weight.data.zero_().view(2, 3, 12, 12)[:, :, :, :4] = 1.0
    net = FeatureNet(left, InputSpace(size=(12, 12)), "left")
    stage = Stage(Pixels(Setting(net, begin=photos[:1])), lambda: Adam(5.0), [Within(relevance=0.3)], 4)
    found = maximize(net, "1:0", stage, [0])
    change = (found.images - photos[:1]).abs().amax(1)[0]
    assert change[:, 6:].max() < 1e-3 < 0.01 < change[:, :4].mean()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("4:1-c/fc:3", "no network 'c' for c/fc: add it, as in +target@targets.c=torchvision"),
        ("direction(c/fc,{0:1})", "targets.c.name=resnet50, or b, which is there (at character 11"),
    ],
)
def test_a_network_that_was_not_added_is_named_with_the_key_that_adds_it(both, text, line):
    with pytest.raises(UserError) as error:
        parse_units(text, both)
    assert line in str(error.value)


def test_a_single_target_tells_how_a_second_network_is_added(target):
    with pytest.raises(UserError, match=r"no network 'b' for b/3: add it, as in \+target@targets.b=torchvision"):
        parse_units("4:1-b/3:0", target)
