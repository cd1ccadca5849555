"""Networks of one channel, fed by RGB images."""

import numpy as np
import pytest
import torch
from PIL import Image

from dgn import Pixels, Setting, Stage, maximize
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.networks.custom import custom
from dgn.networks.inputs import InputSpace

CODE = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3))
"""


def test_the_input_is_the_luminance_as_pillow_computes_it():
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(image).convert("L")).astype(np.float32) / 255
    space = InputSpace(mean=(0.2,), std=(0.5,), channel_order="grey")
    entered = space.enter(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    assert entered.shape == (1, 1, 6, 7)
    np.testing.assert_allclose(entered[0, 0] * 0.5 + 0.2, grey, atol=0.51 / 255)  # Pillow rounds to 8 bits
    assert space.leave(entered).shape == (1, 3, 6, 7)
    torch.testing.assert_close(space.enter(space.leave(entered)), entered)
    assert InputSpace.from_dict(space.to_dict()) == space


def test_a_grey_network_is_a_target_like_any_other(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    torch.manual_seed(0)
    net = custom(f"{tmp_path / 'nets.py'}:make", channel_order="grey", mean=[0.5], std=[0.5], input_size=12)
    assert net.layer("0").shape == (4, 5, 5)
    images = torch.rand(5, 3, 12, 12)
    units = parse_units("3:0", net)
    found = maximize(net, units, Stage(Pixels(Setting(net)), NormalizedAscent, steps=20), [0])
    assert found.images.shape == (1, 3, 12, 12)
    assert found.activations > objective_values(net, units, images).max()


def test_what_is_wrong_is_said_with_the_next_step(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    with pytest.raises(UserError, match=r"takes images of 1 channel \(grey\), .* 3 channels \(RGB\): set channels=1"):
        custom(f"{tmp_path / 'nets.py'}:make", input_size=12, channel_order="RGB").layers()
    with pytest.raises(UserError, match=r"mean=\[0.1,0.2,0.3\] of a grey network needs one number: mean=\[0.5\]"):
        InputSpace(mean=(0.1, 0.2, 0.3), channel_order="grey")
