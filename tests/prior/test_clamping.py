import pytest
import torch

from dgn.prior.clamping import clamp


@pytest.mark.parametrize(
    ("value", "slope", "passed"),
    [(-0.5, 1, 1), (-0.5, -1, 0), (0.5, 1, 1), (0.5, -1, -1), (1.5, 1, 0), (1.5, -1, -1), (0.0, -1, -1), (1.0, 1, 1)],
)
def test_the_gradient_passes_unless_it_leads_further_out(value, slope, passed):
    x = torch.tensor([value], requires_grad=True)
    (slope * clamp(x, 0, 1)).sum().backward()
    assert x.grad.item() == passed


def test_values_are_those_of_a_usual_clamp():
    x = torch.linspace(-2, 2, 41)
    assert torch.equal(clamp(x, 0, 1), x.clamp(0, 1))
    assert torch.equal(clamp(x, 0, None), x.relu())


def test_without_an_upper_bound_only_the_lower_blocks():
    x = torch.tensor([-1.0, 5.0], requires_grad=True)
    (torch.tensor([-1.0, 1.0]) * clamp(x, 0, None)).sum().backward()
    assert x.grad.tolist() == [0, 1]


def test_ascent_brings_a_saturated_pixel_back():
    x = torch.tensor([3.0, -3.0])
    for _ in range(300):
        x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(-(clamp(x, 0, 1) - 0.4).square().sum(), x)
        x = (x + 0.1 * gradient).detach()
    torch.testing.assert_close(x, torch.full((2,), 0.4), atol=0.01, rtol=0)
