"""Generators of the user's own code: what they are told, what is checked, and how a file asks for them."""

import pytest
import torch
from torch import nn

from dgn.errors import Unavailable, UserError
from dgn.networks.custom import find_named
from dgn.networks.custom_generator import CustomGenerator
from dgn.networks.generator_kinds import build_generator

CODE = """
import torch
from torch import nn

class Painter(nn.Module):
    def __init__(self, code_shape, image_size, width=1.0, scale=1.0, ending=None, dtype=torch.float32):
        super().__init__()
        self.linear = nn.Linear(code_shape[0], 3 * image_size**2)
        self.side, self.scale, self.width, self.ending, self.dtype = image_size, scale, width, ending, dtype

    def forward(self, codes):
        images = self.scale * self.linear(codes).view(-1, 3, self.side, self.side)
        return images if self.ending is None else self.ending(images)

def larger(code_shape, image_size):
    return Painter(code_shape, image_size + 1)

def half(code_shape, image_size):
    return Painter(code_shape, image_size, ending=torch.Tensor.half)

def bytes_(code_shape, image_size):
    return Painter(code_shape, image_size, ending=torch.Tensor.byte)

def bright(code_shape, image_size):
    return Painter(code_shape, image_size, scale=255.0)

def cut(code_shape, image_size):
    return Painter(code_shape, image_size, ending=torch.Tensor.detach)

def pair(code_shape, image_size):
    return Painter(code_shape, image_size, ending=lambda images: (images, images))

def undefined(code_shape, image_size):
    return Painter(code_shape, image_size, scale=float("nan"))

def fixed():
    return Painter((7,), 8)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    return f"{tmp_path}/mine.py"


def test_the_callable_gets_what_it_has_parameters_for(mine):
    generator = CustomGenerator((5,), 8, f"{mine}:Painter", {"scale": 2.0}, width=0.5)
    assert (generator.network.width, generator.network.scale) == (0.5, 2.0)
    assert generator.network.linear.in_features == 5
    assert CustomGenerator((7,), 8, f"{mine}:fixed").network.side == 8


@pytest.mark.parametrize("values", [(0, 1), (-1, 1), (0, 255)])
def test_the_modules_black_and_white_become_those_of_image_space(mine, values):
    generator = CustomGenerator((5,), 8, f"{mine}:Painter", values=values, normalize_codes=False)
    codes = torch.randn(4, 5)
    low, high = values
    expected = (generator.network(codes) - low) / (high - low)
    torch.testing.assert_close(generator(codes), expected)  # one rounding more


def test_codes_are_normalized_as_for_other_kinds(mine):
    generator = CustomGenerator((5,), 8, f"{mine}:Painter")
    generator.set_code_statistics(torch.arange(5.0), torch.full((5,), 4.0))
    codes = torch.randn(2, 5)
    torch.testing.assert_close(generator(codes), generator.network((codes - torch.arange(5.0)) / 4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("larger", "gives 2x3x9x9 for two codes of 5; their images must be 2x3x8x8"),
        ("half", "images of float16; they must be float32"),
        ("bytes_", "images of uint8; they must be float32"),
        ("bright", "generator.values=[0,255] or [-1,1] (at an import --values 0 255 or -1 1)"),
        ("undefined", "gives pixels that are NaN or infinite"),
        ("cut", "no gradient passes"),
        ("pair", "gives a tuple"),
        ("fixed", "cannot be run on codes of 5: RuntimeError"),
        ("absent", "has no 'absent'; it has Painter"),
    ],
)
def test_a_module_that_does_not_fit_is_one_line(mine, name, message):
    with pytest.raises(UserError) as error:
        CustomGenerator((5,), 8, f"{mine}:{name}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("def make(depth): ...", "missing 1 required positional argument: 'depth'"),
        ("def make(:", "invalid syntax (mine.py, line 1)"),
        ("from torch import nn\ndef make(): return nn.Linear(7, 3)", "cannot be multiplied (2x5 and 7x3)"),
        ("def make():\n    raise ValueError('no weights yet')", "ValueError: no weights yet (mine.py, line 2)"),
    ],
)
def test_errors_of_own_code_name_a_place_in_it_or_none(tmp_path, code, ending):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(UserError) as error:
        CustomGenerator((5,), 8, f"{tmp_path}/mine.py:make")
    assert str(error.value).endswith(ending)


@pytest.mark.parametrize("values", [(1, 0), (0,), "01", 3, ("a", 1), (0, None), (0, float("inf"))])
def test_values_of_black_and_white_must_be_two_in_order(mine, values):
    with pytest.raises(UserError, match="values of black and of white"):
        CustomGenerator((5,), 8, f"{mine}:Painter", values=values)


def test_the_pass_that_checks_it_changes_no_running_statistics(tmp_path):
    (tmp_path / "normed.py").write_text(
        "from torch import nn\n"
        "make = lambda: nn.Sequential(nn.Linear(4, 48), nn.Unflatten(1, (3, 4, 4)), nn.BatchNorm2d(3))\n"
    )
    generator = CustomGenerator((4,), 4, f"{tmp_path}/normed.py:make")
    norm = next(module for module in generator.modules() if isinstance(module, nn.BatchNorm2d))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert norm.training


def test_a_spec_builds_it_again_only_if_its_code_is_named(mine):
    spec = CustomGenerator((5,), 8, f"{mine}:Painter", {"scale": 2.0}, (-1, 1), False, 0.5).spec()
    with pytest.raises(Unavailable, match="Painter is code of one's own, which no file runs by itself; name"):
        build_generator(spec)
    assert build_generator(spec, [f"{mine}:Painter"]).spec() == spec


def test_a_file_that_was_moved_is_found_by_its_name():
    code = ["/new/mine.py:make", "/new/other.py:make"]
    assert find_named("/old/mine.py:make", code) == "/new/mine.py:make"
    assert find_named("/old/third.py:make", code) is None
    assert find_named("/old/third.py:make", code[:1]) == "/new/mine.py:make"
    assert find_named("/new/other.py:make", [*code, "/old/other.py:make"]) == "/new/other.py:make"
