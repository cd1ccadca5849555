import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.restoration import denoise_tv_bregman

from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.fourier import Fourier
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers.parameters import Clip, Decay, L2Loss, UnitGradient
from dgn.am.regularizers.pixels import AlphaNorm, Blur, NormBound, SmallContribution, SmallNorm
from dgn.am.regularizers.total_variation import Denoise, TotalVariation, denoise_bregman
from dgn.am.step import Draws, Step


@pytest.fixture
def step(setting):
    """A step on pixels, counted 0..255 from the target's zero image."""
    parametrization = Pixels(setting)
    parameters = 60 / 255 * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images = parametrization.images(parameters)
    slope = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return Step(parametrization, parameters, images, Draws([0, 1]), 0, 10, slope)


def counted(step):
    return (step.parameters * 255).double().numpy()


def test_the_l2_term_is_the_squared_norm_on_the_papers_scale(step, setting):
    x = counted(step)
    np.testing.assert_allclose(L2Loss(1e-5).loss(step), 1e-5 * (x**2).sum((1, 2, 3)), rtol=1e-5)


def test_decay_and_clip(step):
    x = counted(step)
    Decay(0.7).project(step)
    np.testing.assert_allclose(counted(step), 0.7 * x, rtol=1e-5)
    step.parameters.mul_(100)
    Clip().project(step)
    zero = np.array([0.4, 0.5, 0.6])[None, :, None, None] * 255
    np.testing.assert_allclose(counted(step), np.clip(70 * x, -zero, 255 - zero), atol=1e-3)


def test_ppgns_clip_is_one_bound_for_all(setting):
    code = Code(setting)
    codes = torch.tensor([[-1.0, 0.5, 100.0, 3.0, 0.0]])
    Clip(high=30).project(Step(code, codes, codes, Draws([0]), 0, 1))
    assert codes.tolist() == [[0.0, 0.5, pytest.approx(30 * code.unit), 3.0, 0.0]]


def test_blur_is_scipys_gaussian_filter_every_few_steps(step):
    x = counted(step)
    Blur(1.0, every=4).project(step)
    expected = ndimage.gaussian_filter(x, (0, 0, 1.0, 1.0))
    np.testing.assert_allclose(counted(step), expected, atol=1e-3)
    step.i = 3
    Blur(1.0, every=4).project(step)
    np.testing.assert_allclose(counted(step), expected, atol=1e-3)


def test_pixels_of_small_norm_become_zero(step):
    x = counted(step)
    norms = np.linalg.norm(x, axis=1)
    keep = norms >= np.percentile(norms, 50, axis=(1, 2), keepdims=True)
    SmallNorm(50).project(step)
    np.testing.assert_allclose(counted(step), x * keep[:, None], atol=1e-4)


def test_pixels_of_small_contribution_become_zero(step):
    x = counted(step)
    contribution = np.abs((x * step.slope.double().numpy()).sum(1))
    keep = contribution >= np.percentile(contribution, 90, axis=(1, 2), keepdims=True)
    SmallContribution(90).project(step)
    np.testing.assert_allclose(counted(step), x * keep[:, None], atol=1e-4)


def test_alpha_norm_and_total_variation_are_the_papers(step):
    x = counted(step)
    norms = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(AlphaNorm(6, 80).loss(step), ((norms / 80) ** 6).sum((1, 2)), rtol=1e-4)
    across, down = np.zeros_like(x), np.zeros_like(x)
    across[..., :-1], down[..., :-1, :] = np.diff(x, axis=3), np.diff(x, axis=2)
    for beta in (2, 1.5):
        expected = (6.5 / 80) ** beta * ((across**2 + down**2) ** (beta / 2)).sum((1, 2, 3))
        np.testing.assert_allclose(TotalVariation(beta).loss(step), expected, rtol=1e-4)


def test_bright_pixels_come_back_to_the_bound(step):
    x = counted(step)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    NormBound(80).project(step)
    np.testing.assert_allclose(counted(step), x * np.minimum(80 / norms, 1), atol=1e-3)


def test_the_gradient_is_brought_to_one_size(step):
    gradient = torch.randn(2, 3, 12, 12) * torch.tensor([1e-6, 50.0]).view(2, 1, 1, 1)
    scaled = UnitGradient(0.3).gradient(gradient, step) * step.parametrization.unit
    np.testing.assert_allclose(scaled.abs().mean((1, 2, 3)), [0.3, 0.3], rtol=1e-5)
    cosine = torch.nn.functional.cosine_similarity(scaled.flatten(1), gradient.flatten(1), eps=1e-12)
    np.testing.assert_allclose(cosine, 1, rtol=1e-4)


@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_denoising_is_scikit_images_away_from_the_edges(weight):
    noise = np.random.default_rng(0).random((3, 32, 40))
    picture = 255 * 3 * ndimage.gaussian_filter(noise, (0, 2, 2))
    expected = denoise_tv_bregman(picture, weight=weight, max_num_iter=1000, eps=1e-8, channel_axis=0)
    found = denoise_bregman(torch.from_numpy(picture)[None], weight, 100)[0].numpy()
    inside = (slice(None), slice(8, -8), slice(8, -8))
    changed = np.abs(expected - picture)[inside].max()
    assert np.abs(found - expected)[inside].max() < 0.02 * changed
    soon = denoise_bregman(torch.from_numpy(picture)[None], weight, 5)[0].numpy()
    assert np.abs(soon - expected)[inside].mean() < 0.25 * np.abs(expected - picture)[inside].mean()


def test_denoising_lowers_variation_and_nearly_keeps_the_mean():
    picture = 255 * torch.rand(2, 3, 20, 16)
    smooth = denoise_bregman(picture, 0.01, 20)
    torch.testing.assert_close(smooth.mean((2, 3)), picture.mean((2, 3)), rtol=1e-3, atol=1e-2)
    assert smooth.std() < 0.25 * picture.std()
    torch.testing.assert_close(denoise_bregman(picture, 1e5, 5), picture, atol=0.5, rtol=0)


def test_the_denoisers_linear_system_is_solved_exactly():
    """An iteration from b = 0, d = shrunk gradient of f: (weight - lambda Laplacian) u = weight f - lambda div d."""
    picture = torch.rand(1, 1, 7, 5, dtype=torch.float64)
    f, lam = picture[0, 0].numpy(), 0.8
    gx, gy = np.diff(f, axis=1, append=f[:, -1:]), np.diff(f, axis=0, append=f[-1:])
    length = np.hypot(gx, gy)
    shrink = lam * length / (lam * length + 1)
    px, py = (shrink - (1 - shrink)) * gx, (shrink - (1 - shrink)) * gy  # d - b, with b = t - d
    divergence = np.diff(px, axis=1, prepend=0) + np.diff(py, axis=0, prepend=0)

    def apply(u):
        u = np.pad(u.reshape(7, 5), 1, mode="edge")
        laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
        return (0.4 * u[1:-1, 1:-1] - lam * laplacian).ravel()

    matrix = np.stack([apply(e) for e in np.eye(35)], 1)
    expected = np.linalg.solve(matrix, (0.4 * f - lam * divergence).ravel())
    np.testing.assert_allclose(denoise_bregman(picture, 0.4, 1)[0, 0].numpy().ravel(), expected, atol=1e-10)


def test_methods_for_pixels_also_work_on_spectra(setting):
    parametrization = Fourier(setting)
    parameters = parametrization.start([0, 1])
    images = parametrization.images(parameters)
    step = Step(parametrization, parameters, images, Draws([0, 1]), 0, 10, torch.randn_like(images))
    before = (images - 0.5).numpy() * 255
    Blur(1.0).project(step)
    after = (parametrization.images(parameters) - 0.5).numpy() * 255
    np.testing.assert_allclose(after, ndimage.gaussian_filter(before, (0, 0, 1, 1)), atol=0.5)
    Denoise(1, 1).project(step)
    SmallNorm(20).project(step)
