import pytest
import torch

from dgn.prior.code_model import CodeModel
from dgn.prior.principal import PrincipalAxes
from dgn.training.code_buffer import CodeBuffer
from dgn.training.code_model import CodeModelFit, denoising_loss
from dgn.training.code_model_quality import quality


def test_the_loss_of_a_normal_distribution_is_1_before_training():
    model = CodeModel(3, width=8, blocks=1)
    model.std.copy_(torch.tensor([3.0, 1.0, 0.3]))
    generator = torch.Generator().manual_seed(0)
    coordinates = torch.randn(50000, 3, generator=generator) * model.std
    assert float(denoising_loss(model, coordinates, generator)) == pytest.approx(1, abs=0.03)


def test_a_fit_finds_the_two_kinds_of_a_mixture():
    """A normal distribution of the same mean and variance has nothing at the two kinds and much between them."""
    torch.manual_seed(0)
    data = torch.randn(2000, 2) * torch.tensor([0.3, 0.3]) + torch.tensor([4.0, 0.0]) * torch.randn(2000, 1).sign()
    model, figures = CodeModelFit(width=64, blocks=2, steps=400, lr=3e-3).fit(data[:1500], data[1500:])
    first = model.sample(400, torch.Generator().manual_seed(1))[:, 0]
    assert float((first.abs() < 2).float().mean()) < 0.05
    assert 0.35 < float((first > 0).float().mean()) < 0.65
    assert figures["code_model/frechet"] < 0.1
    assert figures["code_model/nearest"] == pytest.approx(figures["code_model/nearest_real"], rel=0.5)


def test_the_same_seed_gives_the_same_model_and_leaves_the_random_state():
    data = torch.randn(300, 4)
    torch.manual_seed(5)
    models = [CodeModelFit(width=8, blocks=1, steps=5).fit(data, data[:50], seed=1)[0] for _ in range(2)]
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_a_fit_can_have_few_steps(steps):
    model, _ = CodeModelFit(width=8, blocks=1, steps=steps).fit(torch.randn(300, 4), torch.randn(50, 4))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_too_few_codes_give_no_model():
    assert CodeModelFit(steps=1).fit(torch.randn(50, 4), torch.randn(9, 4)) == (None, {})


def test_a_model_that_memorizes_is_seen_by_its_nearest_codes():
    class Copies(CodeModel):
        def sample(self, count: int, generator: torch.Generator, steps: int = 1) -> torch.Tensor:
            return data[:count] + 1e-3

    torch.manual_seed(0)
    data = torch.randn(400, 6)
    figures = quality(Copies(6, 8, 1), data, torch.randn(100, 6))
    assert figures["nearest"] < 0.01 * figures["nearest_real"]


def test_the_buffer_keeps_the_last_codes_as_coordinates():
    axes = PrincipalAxes(
        torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.eye(4)[:2], torch.tensor([2.0, 1.0]), torch.zeros(4), (2, 2)
    )
    buffer = CodeBuffer(axes, 5)
    codes = torch.arange(48.0).view(12, 2, 2)
    for start in range(0, 12, 3):
        buffer.add(codes[start : start + 3])
    expected = codes.flatten(1)[7:, :2] - torch.tensor([1.0, 2.0])
    torch.testing.assert_close(buffer.coordinates, expected)
    other = CodeBuffer(axes, 5)
    other.coordinates = buffer.coordinates
    other.add(codes[:1])
    torch.testing.assert_close(other.coordinates[:-1], expected[1:])
    buffer.clear()
    assert buffer.coordinates.shape == (0, 2)
