"""What a notebook's user writes: units in Python, and a prior for a method."""

import pytest
import torch

import dgn
from dgn import channel, dream, maximize, parse_units, unit
from dgn.am.maximize import default_stage
from dgn.am.setting import Setting
from dgn.cli.config import compose, plain
from dgn.cli.stages import make_stages
from dgn.errors import UserError


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (lambda: unit("5", 2), "5:2"),
        (lambda: unit("1", 2, (0, 3)), "1:2@0,3"),
        (lambda: channel("1", 2), "1:2@mean"),
        (lambda: dream("1"), "dream(1)"),
        (lambda: 0.2 * channel("1", 2) + 0.8 * unit("5", 0), "0.2*1:2@mean+0.8*5:0"),
        (lambda: unit("5", 1) * dream("1") - unit("5", 0), "5:1*dream(1)-5:0"),
    ],
)
def test_front_door_objectives_equal_those_of_the_unit_language(target, prior, objective, text):
    assert str(objective()) == text
    ours, read = (maximize(target, units, default_stage(target, prior), seeds=2) for units in (objective(), text))
    assert torch.equal(ours.images, read.images)
    assert [str(o) for o in ours.objectives] == [str(o) for o in read.objectives]


def test_a_unit_of_a_map_is_the_one_at_its_centre_and_a_class_has_its_name(target, prior):
    (centre,) = maximize(target, unit("1", 2), prior).objectives
    assert str(centre) == str(parse_units("1:2", target)[0])
    assert maximize(target, unit("5", 2), prior).objectives[0].label == target.labels[2]


@pytest.mark.parametrize(("objective", "says"), [(unit("nowhere", 0), "nowhere"), (unit("5", 99), "99")])
def test_missing_layers_are_reported(target, prior, objective, says):
    with pytest.raises(UserError, match=says):
        maximize(target, objective, prior)


def test_a_prior_stands_for_dgn_am_short_from_noise(target, prior):
    (stage,) = make_stages(plain(compose("visualize", ["method=dgn_am_short"]).method), Setting(target, prior))
    ours = default_stage(target, prior)
    assert ours.steps == stage.steps
    assert [vars(part) for part in ours.regularizers] == [vars(part) for part in stage.regularizers]
    assert [type(part) for part in ours.regularizers] == [type(part) for part in stage.regularizers]
    assert vars(ours.update()) == vars(stage.update())
    found = [maximize(target, "5:1", method, seeds=3).images for method in (prior, stage)]
    assert torch.equal(*found)


def test_the_package_hands_on_what_it_names():
    for name in dgn.__all__:
        assert getattr(dgn, name).__name__ == name
