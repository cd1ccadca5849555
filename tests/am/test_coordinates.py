"""Codes along the principal axes of real codes."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from dgn.am.maximize import Stage, maximize
from dgn.am.parametrizations import Code
from dgn.am.parametrizations.coordinates import PrincipalCoordinates
from dgn.am.regularizers import Clip, Decay, encoder_realism
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent, StepLength
from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.prior.noise import NoiseCodes
from dgn.prior.principal import AxesFit
from dgn.prior.statistics import UnitStatistics

SHAPES = [(10,), (6, 3, 3), (9, 8)]
KINDS = [(shape, rectified) for shape in SHAPES for rectified in (True, False)]


def prior_of(shape: tuple[int, ...], rectified: bool, count: int = 4) -> tuple[Prior, torch.Tensor]:
    """A prior of correlated codes with `count` axes, and the codes (400, *shape)."""
    generator = torch.Generator().manual_seed(2)
    units = int(np.prod(shape))
    codes = torch.randn(400, 6, generator=generator) @ torch.randn(6, units, generator=generator)
    codes = 2 + codes + 0.3 * torch.randn(400, units, generator=generator)
    codes = (codes.relu() if rectified else codes).unflatten(1, shape)
    fit = AxesFit(count)
    fit.add(codes)
    statistics = UnitStatistics(
        codes.mean(0), codes.std(0, correction=0), codes.amin(0), codes.amax(0), 400, *fit.axes()
    )
    torch.manual_seed(0)
    g = UpconvGenerator(shape, 12, width=0.05).requires_grad_(False)
    g.set_code_statistics(statistics.mean, statistics.std)
    about = {"layer": "3", "encoder": {"name": "tiny", "spec": {}, "fingerprint": ""}}
    return Prior(g, statistics, about), codes


@pytest.mark.parametrize(("shape", "rectified"), KINDS)
def test_all_coordinates_stand_for_any_code(shape, rectified):
    prior, codes = prior_of(shape, rectified)
    coordinates = PrincipalCoordinates(prior, "all", 3.0)
    torch.testing.assert_close(coordinates.codes(coordinates.parameters(codes)), codes, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_has_the_mean_and_the_covariance_of_real_codes(shape):
    prior, codes = prior_of(shape, rectified=False)
    drawn = PrincipalCoordinates(prior, "all", 3.0).codes(PrincipalCoordinates(prior, "all", 3.0).noise(range(4000)))
    drawn, codes = drawn.flatten(1).numpy(), codes.flatten(1).numpy()
    np.testing.assert_allclose(drawn.std(0), codes.std(0), rtol=0.08)
    np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.1 * codes.std())
    axes = prior.principal.axes.numpy()
    covariance = axes @ np.cov(drawn.T) @ axes.T
    np.testing.assert_allclose(np.diag(covariance), prior.principal.std.numpy() ** 2, rtol=0.1)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.1 * covariance.max()


def test_a_subspace_is_the_span_of_the_strongest_axes_around_the_mean():
    prior, codes = prior_of((6, 3, 3), rectified=False)
    coordinates = PrincipalCoordinates(prior, 2, 3.0)
    away = (coordinates.codes(coordinates.noise(range(50))) - prior.statistics.mean).flatten(1).numpy()
    assert np.linalg.matrix_rank(away, tol=1e-3) == 2
    _, _, axes = np.linalg.svd(codes.flatten(1).numpy() - codes.flatten(1).numpy().mean(0), full_matrices=False)
    inside = away @ axes[:2].T @ axes[:2]
    assert np.abs(away - inside).max() < 0.02 * np.abs(away).max()


def test_the_ellipsoid_holds_as_many_normal_vectors_as_sigmas_hold_numbers():
    prior, _ = prior_of((6, 3, 3), rectified=False)
    coordinates = PrincipalCoordinates(prior, "all", 2.0)
    assert coordinates.bounds.sizes == (4, 54)
    for size, radius in zip(coordinates.bounds.sizes, coordinates.bounds.radii, strict=True):
        np.testing.assert_allclose(stats.chi2.cdf(radius**2, size), 1 - 2 * stats.norm.sf(2), rtol=1e-6)
    np.testing.assert_allclose(PrincipalCoordinates(prior, 1, 2.0).bounds.radii, [2])
    parameters = 100 * coordinates.noise(range(3))
    before = parameters.clone()
    coordinates.bounds.clip(parameters)
    parts, untouched = parameters.split((4, 54), 1), before.split((4, 54), 1)
    for part, old, radius in zip(parts, untouched, coordinates.bounds.radii, strict=True):
        np.testing.assert_allclose(part.norm(dim=1), np.full(3, radius), rtol=1e-5)
        np.testing.assert_allclose(torch.cosine_similarity(part, old), np.ones(3), rtol=1e-5)
    inside = 0.1 * before / before.norm(dim=1, keepdim=True)
    kept = inside.clone()
    coordinates.bounds.clip(kept)
    assert torch.equal(kept, inside)


@pytest.mark.parametrize(("shape", "rectified"), KINDS)
@pytest.mark.parametrize("subspace", [2, "all"])
def test_searches_rise_within_the_ellipsoid_for_every_kind_of_code(target, shape, rectified, subspace):
    prior, _ = prior_of(shape, rectified)
    parametrization = Code(Setting(target, prior), subspace=subspace)
    stage = Stage(parametrization, partial(StepLength, first=1.0), [Decay(0.97), Clip()], steps=25)
    preferred = maximize(target, "4:house, 4:cat", stage, seeds=2)
    assert (preferred.activations > preferred.start_activations).all()
    # The image that is scored is the one that is returned.
    again = target(preferred.images, ["4"])["4"]
    torch.testing.assert_close(preferred.activations, again[[0, 1, 2, 3], [0, 0, 3, 3]], atol=1e-5, rtol=1e-5)
    if rectified:
        assert parametrization.coordinates.codes(parametrization.start(range(9))).min() >= 0


def test_steps_have_the_length_that_was_asked_for_whatever_the_gradient():
    update, parameters = StepLength(first=2.0, last=1.0), torch.zeros(2, 30)
    update.begin(parameters, 10, unit=7.0)
    update.step(parameters, torch.stack([torch.full((30,), 1e-6), torch.arange(30.0)]), 0)
    np.testing.assert_allclose(parameters.norm(dim=1), [2, 2], rtol=1e-5)
    before = parameters.clone()
    update.step(parameters, torch.randn(2, 30), 5)
    np.testing.assert_allclose((parameters - before).norm(dim=1), [1.5, 1.5], rtol=1e-5)


def test_seeds_do_not_depend_on_one_another():
    coordinates = PrincipalCoordinates(prior_of((10,), True)[0], "all", 3.0)
    assert torch.equal(coordinates.noise([3, 5])[1], coordinates.noise([5])[0])


def test_a_prior_without_axes_says_how_to_get_them(target, prior):
    prior.statistics.axes = None
    prior.about["data"] = {"_target_": "dgn.data.sources.doodles"}
    with pytest.raises(UserError, match=r"task=statistics prior=prior` writes a prior that does, from the images that"):
        Code(Setting(target, prior), subspace=2)
    prior.about["data"] = {}  # as of a prior that was imported
    again = (
        rf"data=image_folder data\.root=FOLDER data\.image_size={prior.image_size}` writes .* from the images in FOLDER"
    )
    with pytest.raises(UserError, match=again):
        Code(Setting(target, prior), subspace=2)


def test_noise_has_no_strongest_directions(target, prior):
    prior.statistics.axes, prior.noise = None, NoiseCodes("normal", prior.code_shape)
    with pytest.raises(UserError, match="are noise, of which no direction is stronger than another; give"):
        Code(Setting(target, prior), subspace=2)


@pytest.mark.parametrize("subspace", [0, 5, "some", 1.5])
def test_a_subspace_that_is_no_number_of_axes_is_refused(target, subspace):
    with pytest.raises(UserError, match=r"give a number of axes from 1 to 4, all, or null"):
        Code(Setting(target, prior_of((10,), True)[0]), subspace=subspace)


def test_realism_refuses_a_subspace(target):
    setting = Setting(target, prior_of((10,), True)[0])
    stage = Stage(Code(setting, subspace=2), NormalizedAscent, [encoder_realism(setting)], steps=2)
    with pytest.raises(UserError, match="subspace=null"):
        maximize(target, "4:house", stage)


def test_without_a_residual_worth_the_name_only_the_axes_are_searched():
    prior, _ = prior_of((10,), rectified=False, count=10)
    assert PrincipalCoordinates(prior, "all", 3.0).bounds.sizes == (10,)
