import logging

import numpy as np
import pytest
import torch

from dgn.errors import UserError
from dgn.prior.statistics import UnitStatistics
from dgn.training.code_statistics import CodeMeasures, losses_for_codes
from dgn.training.explained import FEWEST, PixelRegression
from dgn.training.loss_weights import LEAST, LossShares, LossWeights


def images_of(codes: torch.Tensor, noise: float) -> torch.Tensor:
    """Images (N, 3, 6, 5) that are linear in the codes, of variance 1 for each pixel, plus noise of this variance."""
    weights = torch.randn(codes.shape[1], 90, generator=torch.Generator().manual_seed(1)) / codes.shape[1] ** 0.5
    pixels = codes @ weights
    pixels = pixels / pixels.std(0)
    added = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(2)) * noise**0.5
    return (pixels + added).unflatten(1, (3, 6, 5))


def codes_of(count: int, units: int) -> torch.Tensor:
    return torch.randn(count, units, generator=torch.Generator().manual_seed(0))


def explained(images: torch.Tensor, codes: torch.Tensor, batch: int = 70) -> float | None:
    regression = PixelRegression()
    for pixels, part in zip(images.split(batch), codes.split(batch), strict=True):
        regression.add(pixels, part)
    return regression.explained()


@pytest.mark.parametrize(("noise", "share"), [(0.0, 1.0), (1.0, 0.5), (9.0, 0.1)])
def test_the_share_is_that_of_the_linear_part(noise, share):
    codes = codes_of(2000, 8)
    # 1,000 images fit 8 weights of each pixel: what is fitted to noise is a hundredth of its variance.
    assert explained(images_of(codes, noise), codes) == pytest.approx(share, abs=0.03)


def test_codes_that_say_nothing_explain_nothing():
    codes = codes_of(600, 20)
    assert explained(images_of(codes.flip(0), 1.0), codes) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("units", [50, 700])
def test_it_is_ridge_regression_with_the_best_of_the_penalties(units):
    """Also with more units than images, where the regression is solved among inner products."""
    codes = codes_of(400, units) * torch.linspace(0.1, 3, units) + 5
    images = images_of(codes, 0.5)
    x, y = codes.double().numpy(), images.flatten(1).double().numpy()
    fitted, held = slice(None, 200), slice(200, None)
    centred, target = x - x[fitted].mean(0), y - y[fitted].mean(0)
    size = np.square(centred[fitted]).sum(1).mean()
    scores, left_out = [], []
    for penalty in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
        gram = centred[fitted].T @ centred[fitted] + penalty * size * np.eye(units)
        weights = np.linalg.solve(gram, centred[fitted].T @ target[fitted])
        hat = np.diag(centred[fitted] @ np.linalg.solve(gram, centred[fitted].T)) + 1 / 200  # with the intercept
        residual = target[fitted] - centred[fitted] @ weights
        left_out.append(np.square(residual / (1 - hat)[:, None]).sum())
        scores.append(1 - np.square(centred[held] @ weights - target[held]).sum() / np.square(target[held]).sum())
    assert explained(images, codes) == pytest.approx(scores[int(np.argmin(left_out))], rel=1e-3)


def test_a_unit_that_is_almost_never_active_changes_nothing():
    codes = codes_of(600, 8)
    images = images_of(codes, 1.0)
    rare = torch.zeros(600, 1)
    rare[450] = 1.0
    assert explained(images, torch.cat([codes, rare], 1)) == pytest.approx(explained(images, codes), abs=0.01)


def test_it_does_not_depend_on_the_batches_nor_on_the_shape_of_codes():
    codes = codes_of(300, 12)
    images = images_of(codes, 1.0)
    assert explained(images, codes, 300) == explained(images, codes.unflatten(1, (3, 2, 2)), 7)


def test_few_images_say_nothing():
    codes = codes_of(FEWEST - 1, 4)
    assert explained(images_of(codes, 0.0), codes) is None


def test_no_more_images_are_kept_than_asked_for():
    regression = PixelRegression(250)
    codes = codes_of(600, 4)
    for pixels, part in zip(images_of(codes, 0.0).split(100), codes.split(100), strict=True):
        regression.add(pixels, part)
    assert regression.kept == 250


def test_codes_that_say_less_give_their_shares_to_the_discriminator():
    shares = LossShares(image=0.3, feature=0.4, adversarial=0.3, explained=0.5)
    assert shares.for_codes(None) is shares
    for known in (0.5, 0.9):
        full = shares.for_codes(known)
        assert (full.image, full.feature, full.adversarial) == pytest.approx((0.3, 0.4, 0.3))
    half = shares.for_codes(0.25)
    assert (half.image, half.feature, half.adversarial) == pytest.approx((0.15, 0.2, 0.65))
    least = shares.for_codes(0.0)
    assert (least.image, least.feature) == pytest.approx((0.3 * LEAST, 0.4 * LEAST))
    assert least.image + least.feature + least.adversarial == pytest.approx(1)
    assert half.for_codes(0.25) == half  # once
    assert (shares.adversarial_leads, half.adversarial_leads, LossWeights().adversarial_leads) == (False, True, False)


def test_shares_that_are_fixed_and_weights_stay(caplog):
    caplog.set_level(logging.INFO)
    flat = torch.zeros(4)
    measures = CodeMeasures(UnitStatistics(flat, flat, flat, flat, 10), {}, 0.1)
    for weights in (LossShares(explained=None), LossWeights(), LossShares(adversarial=0)):
        assert not weights.asks_explained
        assert losses_for_codes(weights, measures) is weights
    assert not caplog.messages
    losses_for_codes(LossShares(), measures)
    assert "Codes explain 10% of the variance of pixels" in caplog.messages[0]


def test_codes_that_explain_enough_are_not_said_to_change_the_shares(caplog):
    caplog.set_level(logging.INFO)
    flat = torch.zeros(4)
    ours = losses_for_codes(LossShares(), CodeMeasures(UnitStatistics(flat, flat, flat, flat, 10), {}, 0.9))
    assert (ours.image, ours.feature, ours.adversarial) == (0.3, 0.4, 0.3)
    assert not caplog.messages


@pytest.mark.parametrize("value", [0, -0.1, 1.5])
def test_a_wrong_share_is_a_user_error(value):
    with pytest.raises(UserError, match=r"loss\.explained="):
        LossShares(explained=value)
