import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dgn.training.augmentation import Augmentation, blurred


@pytest.fixture
def images():
    return torch.rand(6, 3, 24, 20, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_for_changes_nothing(images):
    assert torch.equal(Augmentation()(images), images)


@pytest.mark.parametrize("sigma", [0.7, 2.0])
def test_blur_is_a_gaussian(images, sigma):
    expected = gaussian_filter(
        images.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, *[round(3 * sigma)] * 2)
    )
    np.testing.assert_allclose(blurred(images, sigma).numpy(), expected, atol=1e-5)


def test_mirrors_are_mirrors_and_half_of_the_images(images):
    torch.manual_seed(0)
    images = images.repeat(40, 1, 1, 1)
    found = Augmentation(mirror=True)(images)
    mirrored = [torch.allclose(f, i.flip(-1), atol=1e-5) for f, i in zip(found, images, strict=True)]
    same = [torch.allclose(f, i, atol=1e-5) for f, i in zip(found, images, strict=True)]
    assert all(a or b for a, b in zip(mirrored, same, strict=True))
    assert 0.3 < np.mean(mirrored) < 0.7


def test_a_dot_moves_as_far_as_it_may():
    torch.manual_seed(0)
    images = torch.zeros(200, 3, 41, 41)
    images[:, :, 20, 30] = 1  # ten pixels right of the middle
    places = []
    for found in Augmentation(rotation=30, scale=0.25)(images):
        y, x = np.unravel_index(int(found[0].argmax()), (41, 41))
        places.append((np.degrees(np.arctan2(y - 20, x - 20)), np.hypot(y - 20, x - 20)))
    angles, radii = map(np.array, zip(*places, strict=True))
    assert 20 < np.abs(angles).max() < 34
    assert 10 / 1.25 - 1 < radii.min() < 9 < 11 < radii.max() < 12.5 + 1


def test_light_stays_within_its_reach():
    torch.manual_seed(0)
    found = Augmentation(light=0.2)(torch.full((500, 3, 2, 2), 0.5))
    assert 0.5 * 0.8 - 0.1 <= found.min() < 0.35
    assert 0.65 < found.max() <= 0.5 * 1.2 + 0.1 + 1e-6
    assert found.flatten(2).std(2).max() < 1e-6
    assert (found[:, 0] - found[:, 1]).abs().max() > 0.1


def test_draws_are_seeded(images):
    every = Augmentation(15, 0.2, 0.1, True, 2, 0.2)
    first, second = (torch.manual_seed(3) and every(images) for _ in range(2))
    assert torch.equal(first, second)


def test_a_square_is_erased(images):
    """Its side is the fraction of each side of the image, except at the border; its place is drawn for each image."""
    torch.manual_seed(0)
    erased = (Augmentation(erase=0.25)(images.repeat(20, 1, 1, 1)) - images.repeat(20, 1, 1, 1)).abs().amax(1) > 0
    heights, widths = erased.any(2).sum(1), erased.any(1).sum(1)
    assert (int(heights.max()), int(widths.max())) == (24 // 4, 20 // 4)
    assert torch.equal(erased.sum((1, 2)), heights * widths)
    assert len(erased.unique(dim=0)) > 80
