"""The code model: a normal distribution is its exact closed form; a prior's file holds it."""

import itertools
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior
from dgn.prior.code_model import CodeModel, reverse_step, to_codes, to_coordinates
from dgn.prior.statistics import UnitStatistics

STD = torch.tensor([5.0, 2.0, 0.5])


@pytest.fixture
def gaussian() -> CodeModel:
    """A model as it is before training: that of independent normal coordinates."""
    model = CodeModel(3, width=8, blocks=1)
    model.std.copy_(STD)
    return model.requires_grad_(False).eval()


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    net = mini_resnet(classes=3, labels=["a", "b", "c"], width=8)
    generator = UpconvGenerator((32,), 16, width=0.03).requires_grad_(False).eval()
    axes = torch.linalg.qr(torch.randn(32, 5))[0].T.contiguous()
    statistics = UnitStatistics(
        torch.rand(32), 3 * torch.ones(32), torch.zeros(32), 9 * torch.ones(32), 99, axes, torch.arange(5.0, 0, -1)
    )
    generator.set_code_statistics(statistics.mean, statistics.std)
    about = {"layer": "avgpool", "encoder": {"name": net.name, "spec": net.spec, "fingerprint": net.fingerprint()}}
    prior = Prior(generator, statistics, about, net.network.state_dict())
    prior.code_model = CodeModel(4, width=8, blocks=1)
    prior.code_model.std.copy_(torch.tensor([5.0, 4.0, 3.0, 2.0]))
    return prior


def final_std(model: CodeModel) -> torch.Tensor:
    """Of samples: the last step is the mean given the lowest noise, so that this noise is missing from them."""
    return STD**2 / (STD**2 + model.noise_range[0] ** 2).sqrt()


def test_an_untrained_model_is_the_exact_denoiser_of_a_normal_distribution(gaussian):
    noisy, noise = torch.randn(50, 3), torch.rand(50) + 0.1
    expected = noisy * STD**2 / (STD**2 + noise[:, None] ** 2)
    torch.testing.assert_close(gaussian(noisy, noise), expected)
    variance = 1 / (1 / STD**2 + 1 / noise[:, None] ** 2)
    torch.testing.assert_close(gaussian.posterior_variance(noise), variance)


def test_samples_of_a_normal_distribution_have_its_mean_and_covariance(gaussian):
    samples = gaussian.sample(5000, torch.Generator().manual_seed(0))
    assert (samples.mean(0).abs() < 0.06 * STD).all()
    torch.testing.assert_close(torch.cov(samples.T), torch.diag(final_std(gaussian) ** 2), rtol=0.08, atol=0.3)


@pytest.mark.parametrize("ancestral", [False, True])
def test_reverse_steps_lead_to_a_normal_distribution(gaussian, ancestral):
    generator = torch.Generator().manual_seed(1)
    levels = gaussian.levels(100).tolist()
    noisy = gaussian.noise([generator] * 4000)
    for here, there in itertools.pairwise(levels):
        fresh = torch.randn(noisy.shape, generator=generator) if ancestral else None
        noisy = reverse_step(noisy, gaussian(noisy, torch.full((4000,), here)), here, there, fresh)
    torch.testing.assert_close(noisy.std(0), final_std(gaussian), rtol=0.06, atol=0)


def test_levels_fall_from_the_highest_to_zero(gaussian):
    levels = gaussian.levels(20)
    assert (levels.diff() < 0).all()
    assert levels[0] == pytest.approx(15)
    assert levels[-2] == pytest.approx(0.1 * float(STD.square().mean().sqrt()))
    assert levels[-1] == 0
    assert gaussian.levels(20, 0.5)[0] == pytest.approx(7.5)


def test_codes_and_coordinates_are_inverse_in_the_span(prior):
    axes, coordinates = prior.code_axes, torch.randn(6, 4)
    torch.testing.assert_close(to_coordinates(to_codes(coordinates, axes, rectified=False), axes), coordinates)
    assert (to_codes(100 * coordinates, axes, rectified=True) >= 0).all()


def test_a_prior_draws_from_its_code_model(prior):
    codes = prior.sample(3000, seed=2)
    assert codes.shape == (3000, 32)
    assert torch.equal(codes, prior.sample(3000, generator=torch.Generator().manual_seed(2)))
    assert (codes >= 0).all()
    assert not torch.equal(codes, prior.sample_units(3000, seed=2))
    prior.code_model = None
    assert torch.equal(prior.sample(5, seed=2), prior.sample_units(5, seed=2))


def test_the_file_holds_the_code_model_and_format_1_opens_without_one(prior, tmp_path):
    torch.nn.init.normal_(prior.code_model.network.last.weight)
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors")
    assert torch.equal(again.sample(4, seed=3), prior.sample(4, seed=3))
    assert not any(parameter.requires_grad for parameter in again.code_model.parameters())
    with safe_open(tmp_path / "prior.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["dgn_prior"])
    assert header["format"] == 2
    tensors = {k: v for k, v in load_file(tmp_path / "prior.safetensors").items() if not k.startswith("code_model.")}
    del header["code_model"]
    save_file(tensors, tmp_path / "old.safetensors", metadata={"dgn_prior": json.dumps(header | {"format": 1})})
    older = Prior.load(tmp_path / "old.safetensors")
    assert older.code_model is None
    assert torch.equal(older.sample(2), older.sample_units(2))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["code_model"].update(width=9),
        lambda header: header["code_model"].update(count=6),
        lambda header: header["code_model"].update(blocks="many"),
        lambda header: header.update(code_model=[1]),
    ],
)
def test_a_code_model_that_does_not_fit_is_refused(prior, tmp_path, change):
    path = tmp_path / "prior.safetensors"
    prior.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["dgn_prior"])
    change(header)
    save_file(load_file(path), path, metadata={"dgn_prior": json.dumps(header)})
    with pytest.raises(UserError, match="damaged"):
        Prior.load(path)
