import numpy as np
import torch
from hydra.utils import instantiate

from dgn.cli.config import compose
from dgn.training.balance import Balance
from dgn.training.loss_weights import LossShares, LossWeights
from dgn.training.losses import (
    PAPER_FEATURE_VARIANCE,
    absolute_image_loss,
    euclidean,
    feature_loss,
    feature_scales,
    image_loss,
)


def test_euclidean_is_caffes_sum_of_squares_over_twice_the_batch():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype(np.float32)
    expected = ((a - b) ** 2).sum() / (2 * 5)
    np.testing.assert_allclose(euclidean(torch.tensor(a), torch.tensor(b)).item(), expected, rtol=1e-6)


def test_image_loss_at_the_papers_size_is_the_papers():
    rng = np.random.default_rng(0)
    real, generated = rng.random((2, 2, 3, 227, 227)).astype(np.float32)
    # The paper's terms: mean-subtracted BGR in 0..255; the mean cancels, and so does the order of channels.
    a, b = 255 * real.astype(np.float64)[:, ::-1] - 110, 255 * generated.astype(np.float64)[:, ::-1] - 110
    expected = ((a - b) ** 2).sum() / (2 * 2)
    np.testing.assert_allclose(image_loss(torch.tensor(generated), torch.tensor(real)).item(), expected, rtol=1e-5)


def test_image_loss_means_the_same_at_every_size():
    real, generated = torch.full((2, 3, 64, 64), 0.4), torch.full((2, 3, 64, 64), 0.9)
    large = image_loss(torch.full((2, 3, 128, 128), 0.9), torch.full((2, 3, 128, 128), 0.4))
    torch.testing.assert_close(image_loss(generated, real), large)


def test_feature_loss_does_not_depend_on_the_comparators_scale():
    generator = torch.Generator().manual_seed(0)
    real, generated = torch.randn(2, 400, 7, generator=generator)
    losses = []
    for factor in (1.0, 100.0):
        variance = float((factor * real).var(0, unbiased=False).sum())
        scales = feature_scales({"pool": variance})
        losses.append(feature_loss({"pool": factor * generated}, {"pool": factor * real}, scales))
    torch.testing.assert_close(losses[0], losses[1])
    # Independent features are twice the variance apart, so half of that is the paper's variance itself.
    np.testing.assert_allclose(losses[0].item(), PAPER_FEATURE_VARIANCE, rtol=0.1)


def test_feature_layers_share_the_weight_and_dead_layers_get_none():
    scales = feature_scales({"a": 2.0, "b": 0.0})
    assert scales == {"a": PAPER_FEATURE_VARIANCE / 2 / 2.0, "b": 0.0}


def test_the_absolute_loss_has_the_gradient_of_the_squared_one_where_pixels_are_a_tenth_off():
    real, step = torch.full((2, 3, 8, 8), 0.4), torch.full((2, 3, 8, 8), 0.1, requires_grad=True)
    gradients = [torch.autograd.grad(loss(real + step, real), step)[0] for loss in (image_loss, absolute_image_loss)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_loss_paper_is_the_papers_and_short_says_in_what_it_differs():
    paper, short = (instantiate(compose("train", [name]).loss) for name in ("loss=paper", "recipe=paper_short"))
    balance = Balance(discriminator_wins=0.1, discriminator_returns=0.5, generator_wins=10.0)
    assert paper == LossWeights(image=2e-6, feature=0.01, adversarial=100.0, raw_features=False, balance=balance)
    assert short == LossWeights(image=2e-4, feature=0.01, adversarial=100.0, raw_features=False, balance=balance)
    assert instantiate(compose("train", ["loss=short"]).loss) == short


def test_the_default_has_the_shares_of_the_python_function():
    assert instantiate(compose("train", []).loss) == LossShares()
