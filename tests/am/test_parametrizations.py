import numpy as np
import pytest
import torch
from torch import nn

from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.fourier import IMAGENET_COLOURS, Fourier, Phase, colour_statistics
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.setting import Setting
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

ZERO = np.array([0.4, 0.5, 0.6])[:, None, None]


def sized(size):
    """A setting of a network for images of that size."""
    net = FeatureNet(nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 2)), InputSpace(size=size), "flat")
    return Setting(net)


def test_pixels_start_at_the_targets_zero_image_with_noise_on_0_to_255(setting):
    flat = Pixels(setting)
    np.testing.assert_allclose(flat.images(flat.start([0, 1])), np.broadcast_to(ZERO, (2, 3, 12, 12)), atol=1e-6)
    noisy = Pixels(setting, noise=10).start(range(50))
    assert float(noisy.std()) == pytest.approx(10 / 255, rel=0.02)
    torch.testing.assert_close(noisy[7], Pixels(setting, noise=10).start([7])[0])
    grey = Pixels(setting, base="grey 175")
    np.testing.assert_allclose(grey.images(grey.start([3])), 175 / 255, atol=1e-6)


def test_pixels_enlarge_the_image_of_an_earlier_stage(setting):
    large = Pixels(setting, scale=1.2)
    ramp = torch.linspace(0.2, 0.8, 12).expand(1, 3, 12, 12)
    found = large.images(large.encode(ramp))
    assert found.shape == (1, 3, 14, 14)
    assert (found[..., 1:] > found[..., :-1]).all()


def test_the_mean_start_is_the_mean_of_the_images_that_excite_the_unit_most(setting, target, photos):
    objectives = parse_units("5:0,5:2,5:0", target)
    pixels = Pixels(setting, base="mean", nearest=4)
    found = pixels.images(pixels.start([0, 1, 2], objectives))
    values = objective_values(target, objectives, [photos]).numpy()
    for n in range(3):
        best = np.argsort(-values[:, n])[:4]
        np.testing.assert_allclose(found[n], photos.numpy()[best].mean(0), atol=1e-5)


def test_searches_start_from_given_images_in_turn_or_from_a_drawn_one(setting, target, photos):
    given = Setting(target, begin=photos[:2])
    for parametrization in (Pixels(given), Fourier(given)):
        found = parametrization.images(parametrization.start([0, 1, 2]))
        torch.testing.assert_close(found, photos[[0, 1, 0]].clamp(0.01, 0.99), atol=0.011, rtol=0)
    drawn = Setting(target, begin="sample", images=setting.images)
    pixels = Pixels(drawn)
    found = pixels.images(pixels.start([4, 5]))
    assert all((photos - image).abs().amax((1, 2, 3)).min() < 1e-5 for image in found)
    torch.testing.assert_close(pixels.images(pixels.start([5]))[0], found[1])


@pytest.mark.parametrize("size", [(12, 12), (9, 15), (10, 7)])
def test_fourier_images_are_lucids_in_numpy(size):
    fourier = Fourier(sized(size))
    parameters = torch.randn(2, 3, size[0], size[1] // 2 + 1, 2, generator=torch.Generator().manual_seed(0))
    spectrum = parameters.double().numpy() @ np.array([1, 1j])
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    scale = np.sqrt(size[0] * size[1]) / np.maximum(f, 1 / max(size))
    plane = np.fft.irfft2(spectrum * scale, s=size) / 4
    colours = np.array(IMAGENET_COLOURS)
    colours = colours / np.linalg.norm(colours, axis=0).max()
    logits = np.einsum("ck,nkhw->nchw", colours, plane)
    np.testing.assert_allclose(fourier.images(parameters), 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("size", [(12, 12), (9, 15)])
def test_fourier_coefficients_of_an_image_give_it_back(size):
    fourier = Fourier(sized(size))
    images = 0.02 + 0.96 * torch.rand(2, 3, *size)
    torch.testing.assert_close(fourier.images(fourier.encode(images)), images, atol=1e-4, rtol=0)


def test_the_start_of_fourier_is_nearly_grey_and_every_seeds_own(setting):
    fourier = Fourier(setting)
    start = fourier.start([0, 1])
    assert float(start.std()) == pytest.approx(0.01, rel=0.1)
    assert (fourier.images(start) - 0.5).abs().max() < 0.1
    assert not torch.equal(start[0], start[1])


def test_colour_statistics_are_the_covariance_of_pixels(photos):
    mean, basis = colour_statistics(photos.split(8))
    pixels = photos.movedim(1, 0).reshape(3, -1).double().numpy()
    np.testing.assert_allclose(mean, pixels.mean(1), rtol=1e-4)
    np.testing.assert_allclose(basis @ basis.T, np.cov(pixels, bias=True), rtol=1e-3, atol=1e-5)
    plain = np.linalg.inv(basis.double().numpy()) @ (pixels - pixels.mean(1, keepdims=True))
    np.testing.assert_allclose(np.cov(plain, bias=True), np.eye(3), atol=1e-3)


def test_maco_keeps_the_magnitudes_of_real_images_whatever_the_phase(setting, photos):
    phase = Phase(setting)
    mean, basis = (t.double().numpy() for t in colour_statistics([photos]))
    plane = np.einsum("kc,nchw->nkhw", np.linalg.inv(basis), photos.numpy() - mean[:, None, None])
    magnitude = np.abs(np.fft.rfft2(plane)).mean(0)
    np.testing.assert_allclose(phase.magnitude, magnitude, rtol=1e-3)
    start = phase.start([0, 1])
    assert start.shape == (2, 3, 12, 7)
    spectrum = magnitude * np.exp(1j * start.double().numpy())
    expected = mean[:, None, None] + np.einsum("ck,nkhw->nchw", basis, np.fft.irfft2(spectrum, s=(12, 12)))
    np.testing.assert_allclose(phase.images(start), expected.clip(0, 1), atol=1e-4)
    # Of real images, the phases stay and the magnitudes become the average.
    np.testing.assert_allclose(np.cos(phase.encode(photos).numpy()), np.cos(np.angle(np.fft.rfft2(plane))), atol=1e-2)


def test_measuring_needs_images(target, prior):
    bare = Setting(target, prior)
    for make in (lambda: Phase(bare), lambda: Fourier(bare, colours="measured")):
        with pytest.raises(UserError, match="data=image_folder"):
            make()
    with pytest.raises(UserError, match="data=image_folder"):
        Pixels(bare, base="mean").start([0], parse_units("5:0", target))
    with pytest.raises(UserError, match="make one with"):
        Code(Setting(target))
    with pytest.raises(UserError, match="grey 175"):
        Pixels(bare, base="gray")
    with pytest.raises(UserError, match="noise, sample"):
        Setting(target, begin="photo")
    for wrong in (0, "large", (4, 5, 6), (-3, 8)):
        with pytest.raises(UserError, match="canvas_size="):
            Setting(target, canvas_size=wrong)


def test_codes_start_from_noise_samples_or_real_images(setting, prior, target, photos):
    noise = Code(setting).start([3, 4])
    torch.testing.assert_close(
        noise[0], Code(setting).unit * torch.randn(5, generator=torch.Generator().manual_seed(3))
    )
    found = Code(Setting(target, prior, begin=photos[:2])).start([0, 1, 2])
    torch.testing.assert_close(found, target(photos[[0, 1, 0]], ["3"])["3"])
    sampled = Code(Setting(target, prior, begin="sample")).start([5])
    torch.testing.assert_close(sampled, prior.sample(1, 5))
