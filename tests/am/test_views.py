import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from dgn.am.regularizers.views import CentredWindow, Crops, Jitter, Noise, Rotate, Scale
from dgn.am.step import Draws, Step


class Fixed:
    """Draws that are given."""

    def __init__(self, *values):
        self.values = [torch.as_tensor(value) for value in values]

    def uniform(self, *shape):
        return self.values.pop(0)

    normal = uniform


def at(images, draws, i=0, steps=10):
    return Step(None, images, images, draws, i, steps)


@pytest.fixture
def images():
    return torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(3))


def test_jitter_shifts_each_image_by_its_own_draw(images):
    # 32 pixels of 224 are 4 of 28: shifts of -2 .. 2
    seen = Jitter(32).view(images, at(images, Fixed([[0.0, 0.999], [0.5, 0.0]])))
    expected = np.full((2, 3, 28, 28), 0.5, np.float32)
    expected[0, :, 2:, :-2] = images[0, :, :-2, 2:]
    expected[1, :, :, 2:] = images[1, :, :, :-2]
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    repeated = Jitter(32, edges="repeat").view(images, at(images, Fixed([[0.0, 0.5], [0.5, 0.5]])))
    np.testing.assert_allclose(repeated[0, :, :2], np.broadcast_to(images[0, :, :1], (3, 2, 28)))


def test_rotation_turns_about_the_centre(images):
    seen = Rotate(90).view(images, at(images, Fixed([1.0, 0.5])))  # 90 and 0 degrees
    turned = np.rot90(images[0].numpy(), axes=(1, 2))
    assert np.allclose(seen[0], turned, atol=1e-4) or np.allclose(seen[0], turned[:, ::-1, ::-1], atol=1e-4)
    np.testing.assert_allclose(seen[1], images[1], atol=1e-5)


def test_a_rotation_by_ten_degrees_is_scipys():
    smooth = torch.from_numpy(ndimage.gaussian_filter(np.random.default_rng(0).random((1, 3, 40, 40)), (0, 0, 2, 2)))
    smooth = smooth.float()
    seen = Rotate(10).view(smooth, at(smooth, Fixed([1.0])))[0].numpy()
    both = [ndimage.rotate(smooth[0].numpy(), a, axes=(1, 2), reshape=False, order=1) for a in (10, -10)]
    assert min(np.abs(seen - r)[:, 8:-8, 8:-8].max() for r in both) < 1e-3


def test_scale_enlarges_about_the_centre(images):
    seen = Scale(0.5, 2.0).view(images, at(images, Fixed([1.0, 0.0])))
    middle = torch.nn.functional.interpolate(images[:1, :, 7:21, 7:21], (28, 28), mode="bilinear")
    np.testing.assert_allclose(seen[0, :, 2:-2, 2:-2], middle[0, :, 2:-2, 2:-2], atol=1e-4)
    half = images[1].reshape(3, 14, 2, 14, 2).mean((2, 4))
    np.testing.assert_allclose(seen[1, :, 8:-8, 8:-8], half[:, 1:-1, 1:-1], atol=1e-4)
    assert (seen[1, :, :6] == 0.5).all()


def test_the_centred_window_moves_about_the_middle_and_leaves_its_margin_alone(images):
    images = images.requires_grad_(True)
    draws = Fixed([[0.0, 0.0], [1.0, -9.0]])
    seen = CentredWindow(scale=1.4, spread=0.25, margin=24).view(images, at(images, draws))
    assert seen.shape == (2, 3, 20, 20)
    np.testing.assert_allclose(seen[0].detach(), images[0, :, 4:24, 4:24].detach())
    np.testing.assert_allclose(seen[1].detach(), images[1, :, 6:26, :20].detach())  # 4 + 1 * 0.25 * 8; kept inside
    seen[:1].sum().backward()
    drawn = images.grad[0, 0]
    expected = np.zeros((28, 28))
    expected[6:22, 6:22] = 1  # a margin of 24 of 224 is 2 of 20
    np.testing.assert_allclose(drawn, expected)


def test_crops_shrink_and_lie_where_they_are_drawn(images):
    drawn = torch.zeros(2, 3, 3)  # images, crops, (row, column, side)
    drawn[1, 2] = torch.tensor([1.0, -9.0, 0.0])
    view = Crops(count=3, first=1.0, last=0.5)
    seen = view.view(images, at(images, Fixed(drawn), i=9))
    assert seen.shape == (6, 3, 14, 14)
    np.testing.assert_allclose(seen[0], images[0, :, 7:21, 7:21], atol=1e-5)  # all images' first crops come first
    np.testing.assert_allclose(seen[1], images[1, :, 7:21, 7:21], atol=1e-5)
    top = 28 * (0.5 + 0.15) - 7
    below, share = images[1, :, math.floor(top) : math.floor(top) + 15, :14].numpy(), top - math.floor(top)
    np.testing.assert_allclose(seen[5], (1 - share) * below[:, :-1] + share * below[:, 1:], atol=1e-4)
    whole = view.view(images, at(images, Fixed(torch.zeros(2, 3, 3)), i=0))
    np.testing.assert_allclose(whole[4], images[0], atol=1e-5)


def test_noise_has_its_size_and_every_search_its_own_draws(images):
    seen = Noise(0.1).view(torch.zeros(6, 3, 28, 28), at(images, Draws([0, 1])))
    assert float(seen.std()) == pytest.approx(0.1 * math.sqrt(1 + 1 / 12), rel=0.05)
    first, second = Draws([4, 7]), Draws([7])
    torch.testing.assert_close(first.normal(3)[1], second.normal(3)[0])
    torch.testing.assert_close(first.uniform(2, 2)[1], second.uniform(2, 2)[0])
