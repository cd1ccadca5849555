"""Principal axes against numpy's SVD of all codes at once."""

import numpy as np
import pytest
import torch

from dgn.prior.principal import NUMBERS, AxesFit, PrincipalAxes, principal_axes


def correlated(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """Codes (count, *shape) whose directions have standard deviations that fall as 1 / i, around a mean of 3."""
    rng = np.random.default_rng(seed)
    units = int(np.prod(shape))
    axes, _ = np.linalg.qr(rng.normal(size=(units, units)))
    codes = 3 + rng.normal(size=(count, units)) / np.arange(1, units + 1) @ axes.T
    return torch.from_numpy(codes).float().unflatten(1, shape)


def fitted(codes: torch.Tensor, count: int, batch: int = 32) -> PrincipalAxes:
    fit = AxesFit(count)
    for part in codes.split(batch):
        fit.add(part)
    return principal_axes(codes.mean(0), codes.std(0, correction=0), *fit.axes())


def svd(codes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(axes, standard deviations) of codes, from numpy."""
    centred = codes.flatten(1).double().numpy()
    _, values, axes = np.linalg.svd(centred - centred.mean(0), full_matrices=False)
    return axes, values / np.sqrt(len(codes))


@pytest.mark.parametrize("batch", [1, 32, 500])
def test_all_axes_are_numpys(batch):
    codes = correlated(500, 20)
    found, (axes, std) = fitted(codes, 100, batch), svd(codes)
    assert found.count == 20
    np.testing.assert_allclose(found.std, std, rtol=1e-4)
    np.testing.assert_allclose(np.abs((found.axes.numpy() * axes).sum(1)), 1, atol=1e-5)
    assert found.residual_variance < 1e-6


def test_the_strongest_axes_of_a_map_are_numpys_though_only_twice_as_many_are_kept():
    codes = correlated(600, 6, 5, 5)
    found, (axes, std) = fitted(codes, 10), svd(codes)
    assert found.axes.shape == (10, 150)
    np.testing.assert_allclose(found.std, std[:10], rtol=0.01)
    assert np.abs((found.axes[:5].numpy() * axes[:5]).sum(1)).min() > 0.999
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(10), atol=1e-5)
    left = codes.flatten(1).numpy() - codes.flatten(1).numpy().mean(0)
    left = left - left @ axes[:10].T @ axes[:10]
    np.testing.assert_allclose(found.residual, left.std(0), rtol=0.05)
    np.testing.assert_allclose(found.explained, (std[:10] ** 2).sum() / (std**2).sum(), rtol=0.01)


def test_coordinates_of_real_codes_are_white_and_lift_back():
    codes = correlated(400, 4, 3)
    found = fitted(codes, 12)
    coordinates = found.project(codes)
    np.testing.assert_allclose(coordinates.mean(0), np.zeros(12), atol=1e-4)
    np.testing.assert_allclose(np.cov(coordinates.T.numpy(), bias=True), np.eye(12), atol=2e-3)
    torch.testing.assert_close(found.lift(coordinates), codes, atol=1e-4, rtol=1e-4)


def test_fewer_axes_leave_the_others_to_the_residual():
    codes = correlated(400, 12)
    few, all_axes = fitted(codes, 3), fitted(codes, 12)
    np.testing.assert_allclose(all_axes.strongest(3).residual, few.residual, rtol=0.02)
    assert all_axes.strongest(3).count == 3
    assert all_axes.strongest(99).count == 12


def test_directions_in_which_codes_do_not_vary_are_left_out():
    codes = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.ones(3, 8)
    assert fitted(codes, 8).count == 1
    assert fitted(torch.ones(20, 8), 8).count == 0
    assert fitted(correlated(5, 30), 30).count == 4  # five codes span four directions around their mean


def test_codes_of_many_units_have_fewer_axes():
    fit = AxesFit(256)
    fit.add(torch.randn(70, 384, 13, 13))
    axes, std = fit.axes()
    assert axes.shape == (NUMBERS // (384 * 13 * 13), 384, 13, 13)
    assert len(std) == 64


def test_more_axes_than_take_16_mb_are_fitted_where_they_are_asked_for():
    fit = AxesFit(3, numbers=None)
    fit.add(torch.randn(8, NUMBERS // 2, generator=torch.Generator().manual_seed(0)))
    assert len(fit.axes()[0]) == 3
