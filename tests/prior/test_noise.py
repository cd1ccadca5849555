"""Generators of noise as priors: what is drawn, how a class is part of the code, and what is checked."""

import numpy as np
import pytest
import torch

from dgn.errors import Unavailable, UserError
from dgn.prior import Prior
from dgn.prior.noise import NoiseCodes
from dgn.prior.noise_generators import import_noise_generator, read_class_vectors

CODE = """
import torch
from torch import nn

class Painter(nn.Module):
    def __init__(self, units=4, size=8):
        super().__init__()
        self.linear, self.size = nn.Linear(units, 3 * size**2), size

    def forward(self, noise, classes=None):
        code = noise.flatten(1) if classes is None else torch.cat([noise.flatten(1), classes], 1)
        return self.linear(code).tanh().view(-1, 3, self.size, self.size)
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "gan.py").write_text(CODE)
    return f"{tmp_path}/gan.py:Painter"


def drawn(noise: NoiseCodes, count: int = 2000) -> torch.Tensor:
    return noise.sample(count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("distribution", "std", "bound"), [("normal", 1.0, 3.0), ("uniform", 3**-0.5, 1.0)])
def test_codes_are_drawn_from_what_the_generator_was_trained_on(distribution, std, bound):
    noise = NoiseCodes(distribution, (4, 1, 1))
    codes = drawn(noise, 4000)
    assert codes.shape == (4000, 4, 1, 1)
    assert codes.mean().abs() < 0.03  # 5 standard errors of 16,000 numbers
    assert abs(float(codes.std()) - std) < 0.03
    low, high = noise.statistics().bounds(3.0)
    torch.testing.assert_close(high, torch.full((4, 1, 1), bound))
    torch.testing.assert_close(low, -high)


def test_a_drawn_class_has_nearly_all_of_the_softmax_and_lies_within_the_bounds():
    noise = NoiseCodes("normal", (2,), classes=10)
    codes = drawn(noise)
    weights = codes[:, 2:].softmax(1)
    torch.testing.assert_close(weights.amax(1), torch.full((2000,), 0.99))
    counts = weights.argmax(1).bincount(minlength=10)
    assert counts.min() > 130  # of 200 expected, with a standard deviation of 13
    low, high = noise.statistics().bounds(3.0)
    assert (codes[:, 2:] <= high[2:] + 1e-5).all()
    assert (codes[:, 2:] >= low[2:]).all()


def test_class_vectors_are_drawn_from_their_table():
    table = torch.randn(5, 3)
    noise = NoiseCodes("normal", (2,), vectors=table)
    rows = drawn(noise)[:, 2:]
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in table.tolist()}
    torch.testing.assert_close(noise.statistics().mean[2:], table.mean(0))


def test_the_prior_calls_the_module_with_noise(model, tmp_path):
    prior = import_noise_generator(model, (4,), values=(-1, 1))
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors", code=[model])
    codes = again.sample(3, seed=1)
    expected = (prior.generator.network(codes) + 1) / 2
    torch.testing.assert_close(again.decode(codes), expected)
    assert torch.equal(codes, torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))
    with pytest.raises(Unavailable, match=r"generator\.model="):
        Prior.load(tmp_path / "prior.safetensors")
    with pytest.raises(UserError, match="paints from noise, and inverts no network; name the network to show"):
        again.encoder_net()


def test_the_softmax_of_the_codes_last_units_is_the_class_vector(model, tmp_path):
    prior = import_noise_generator(model, (2, 1, 1), args={"units": 5}, values=(-1, 1), classes=3)
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors", code=[model])
    codes = again.sample(4)
    assert codes.shape == (4, 5)
    expected = again.generator.network(codes[:, :2, None, None], codes[:, 2:].softmax(1))
    torch.testing.assert_close(again.decode(codes), (expected + 1) / 2)


def test_class_vectors_come_back_from_the_file(model, tmp_path):
    table = torch.randn(6, 3)
    prior = import_noise_generator(model, (2,), args={"units": 5}, values=(-1, 1), vectors=table)
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors", code=[model])
    assert torch.equal(again.noise.vectors, table)
    codes = again.sample(4)
    expected = again.generator.network(codes[:, :2], codes[:, 2:])
    torch.testing.assert_close(again.decode(codes), (expected + 1) / 2)


@pytest.mark.parametrize("from_table", [False, True])
def test_a_given_class_is_always_given(model, from_table):
    table = torch.randn(3, 3) if from_table else None
    prior = import_noise_generator(
        model, (2,), args={"units": 5}, values=(-1, 1), classes=0 if from_table else 3, vectors=table, only=1
    )
    assert prior.code_shape == (2,)
    codes = prior.sample(4)
    given = table[1] if from_table else torch.tensor([0.0, 1.0, 0.0])
    expected = prior.generator.network(codes, given.expand(4, -1))
    torch.testing.assert_close(prior.decode(codes), (expected + 1) / 2)


def test_weights_are_read_from_a_file_and_kept(model, tmp_path):
    state = {"linear.weight": torch.randn(192, 4), "linear.bias": torch.randn(192)}
    torch.save(state, tmp_path / "weights.pt")
    prior = import_noise_generator(model, (4,), values=(-1, 1), weights=tmp_path / "weights.pt")
    assert torch.equal(prior.generator.network.linear.weight, state["linear.weight"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "--values -1 1"),
        ({"values": (-1, 1), "noise_shape": (5,)}, "cannot be run on codes of 5"),
        ({"values": (-1, 1), "distribution": "other"}, "--code other: give normal or uniform"),
        ({"values": (-1, 1), "only": 2}, "give --classes or --class-vectors too"),
        ({"values": (-1, 1), "classes": 3, "only": 3}, r"--class 3: classes are 0 \.\. 2"),
        ({"values": (-1, 1), "classes": 1}, "at least 2"),
    ],
)
def test_a_generator_that_does_not_fit_is_one_line(model, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        import_noise_generator(model, **({"noise_shape": (4,)} | arguments))
    assert "\n" not in str(error.value)


def test_a_table_of_class_vectors_must_be_one(tmp_path):
    path = tmp_path / "table.npy"
    for table in (np.zeros(4, np.float32), np.zeros((3, 2), np.int64), np.full((3, 2), np.nan, np.float32)):
        np.save(path, table)
        with pytest.raises(UserError, match="--class-vectors"):
            read_class_vectors(path)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        read_class_vectors(path)


def test_noise_of_another_shape_than_the_generators_codes_is_damage(model, tmp_path):
    prior = import_noise_generator(model, (4,), values=(-1, 1))
    prior.noise = NoiseCodes("normal", (5,))
    prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        Prior.load(tmp_path / "prior.safetensors", code=[model])


def test_code_that_does_not_fit_the_file_is_not_damage_of_the_file(model, tmp_path):
    import_noise_generator(model, (4,), values=(-1, 1)).save(tmp_path / "prior.safetensors")
    for units, size in ((5, 8), (4, 6)):
        (tmp_path / "gan.py").write_text(CODE.replace("units=4, size=8", f"units={units}, size={size}"))
        with pytest.raises(UserError) as error:
            Prior.load(tmp_path / "prior.safetensors", code=[model])
        assert model in str(error.value)
        assert "damaged" not in str(error.value)
    (tmp_path / "gan.py").write_text(CODE.replace("self.linear", "self.renamed"))
    with pytest.raises(UserError, match=r"does not fit the generator that .*gan\.py:Painter makes"):
        Prior.load(tmp_path / "prior.safetensors", code=[model])


def test_the_message_without_a_target_names_the_code_too(model, tmp_path):
    prior = import_noise_generator(model, (4,), values=(-1, 1))
    with pytest.raises(UserError, match=r"generator\.model=.*gan\.py:Painter target="):
        prior.encoder_net()
