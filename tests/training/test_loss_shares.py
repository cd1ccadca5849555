import pytest
import torch

from dgn.errors import UserError
from dgn.training.balance import Balance
from dgn.training.loss_weights import LossShares, LossWeights


def losses(generated: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses of wildly different units."""
    flat = generated.flatten(1)
    return {
        "image": 1e6 * (flat - 0.3).square().sum(1).mean(),
        "feature": 1e-4 * flat.sin().sum(1).mean(),
        "adversarial": 7 * flat.cos().sum(1).mean(),
    }


@pytest.mark.parametrize("ramp", [0.25, 1.0])
def test_each_loss_has_its_share_of_the_gradient_at_the_image(ramp):
    shares = LossShares(image=0.5, feature=0.3, adversarial=0.2)
    generated = torch.rand(4, 3, 8, 8, requires_grad=True)
    terms = losses(generated)
    total = torch.autograd.grad(shares.combine(terms, generated, 0, ramp), generated, retain_graph=True)[0]
    parts = {name: torch.autograd.grad(loss, generated, retain_graph=True)[0] for name, loss in terms.items()}
    unit = {name: gradient / gradient.flatten(1).norm(dim=1).square().mean().sqrt() for name, gradient in parts.items()}
    # A loss is a mean over 4 images: the gradient of each image is a quarter.
    expected = (0.5 * unit["image"] + 0.3 * unit["feature"] + 0.2 * ramp * unit["adversarial"]) / 4
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-8)


def test_the_shares_do_not_depend_on_the_size_of_the_batch():
    image = torch.rand(1, 3, 8, 8)
    factors = []
    for count in (1, 5):
        shares, generated = LossShares(), image.repeat(count, 1, 1, 1).requires_grad_()
        shares.combine(losses(generated), generated, 0, 1.0)
        factors.append(shares.factors())
    assert factors[0] == pytest.approx(factors[1], rel=1e-5)


def test_gradients_are_measured_now_and_then_smoothed_and_resumed():
    shares = LossShares(every=10, smoothing=0.75)
    generated = torch.rand(2, 3, 8, 8, requires_grad=True)
    for step, scale in ((0, 1.0), (5, 100.0), (10, 16.0)):
        shares.combine({name: scale * loss for name, loss in losses(generated).items()}, generated, step, 1.0)
        if step == 0:
            first = dict(shares.norms)
        if step == 5:
            assert shares.norms == first
    # A geometric mean: 1^0.75 * 16^0.25 = 2.
    assert shares.norms == pytest.approx({name: 2 * norm for name, norm in first.items()}, rel=1e-5)
    resumed = shares.fresh()
    assert resumed.norms == {}
    resumed.load_state_dict(shares.state_dict())
    assert resumed.norms == shares.norms


def test_a_loss_that_begins_later_is_measured_when_it_begins():
    shares = LossShares(every=10)
    generated = torch.rand(2, 3, 8, 8, requires_grad=True)
    terms = losses(generated)
    shares.combine({"image": terms["image"]}, generated, 0, 0.0)
    shares.combine(terms, generated, 3, 1.0)
    assert set(shares.norms) == {"image", "feature", "adversarial"}


def test_the_adversarial_part_starts_late_and_rises():
    late = LossShares(adversarial_start=0.2, adversarial_ramp=0.1)
    assert [late.adversarial_factor(step, 100) for step in (0, 19)] == [None, None]
    rising = [late.adversarial_factor(step, 100) for step in range(20, 32)]
    assert rising == pytest.approx([min(1.0, (i + 1) / 10) for i in range(12)])
    assert LossShares(adversarial_start=0, adversarial_ramp=0).adversarial_factor(0, 100) == 1.0


def test_weights_of_one_run_do_not_touch_those_of_another():
    weights = LossWeights(balance=Balance())
    ours = weights.fresh()
    ours.balance.generator_learns = False
    assert weights.balance.generator_learns


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": -1}, r"loss\.image=-1 must be a number >= 0"),
        ({"pixel": "l3"}, r"loss\.pixel=l3: give one of l1, l2"),
        ({"adversarial_start": 1.5}, r"loss\.adversarial_start=1\.5 must be a fraction of the run"),
        ({"image": 0, "feature": 0}, r"loss\.adversarial_start > 0 needs another loss"),
        ({"every": 0}, r"loss\.every=0 must be at least 1"),
        ({"smoothing": 1.0}, r"loss\.smoothing=1\.0"),
    ],
)
def test_wrong_settings_are_a_user_error(settings, message):
    with pytest.raises(UserError, match=message):
        LossShares(**settings)
