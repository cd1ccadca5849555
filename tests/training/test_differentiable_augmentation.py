import pytest
import torch

from dgn.errors import UserError
from dgn.training.differentiable_augmentation import CHANGES, DifferentiableAugmentation


@pytest.mark.parametrize("change", CHANGES)
def test_a_pair_gets_the_same_change_and_images_different_ones(change):
    torch.manual_seed(0)
    images = torch.rand(1, 3, 32, 24).repeat(8, 1, 1, 1)
    real, generated = DifferentiableAugmentation([change])(images, images)
    assert torch.equal(real, generated)
    assert real.shape == images.shape
    assert not torch.equal(real, images)
    assert len({tuple(x.flatten().tolist()) for x in real}) > 4


def test_translation_moves_pixels_by_at_most_an_eighth_and_leaves_black():
    torch.manual_seed(0)
    images = torch.zeros(64, 3, 32, 32)
    images[:, :, 16, 16] = 1
    moved, _ = DifferentiableAugmentation(["translation"])(images, images)
    assert moved.sum().item() == pytest.approx(64 * 3)
    rows, columns = (moved[:, 0] == 1).nonzero()[:, 1:].unbind(1)
    for places in (rows, columns):
        assert set((places - 16).tolist()) == set(range(-4, 5))


def test_cutout_hides_half_of_each_side_at_most():
    torch.manual_seed(0)
    ones = torch.ones(50, 3, 32, 32)
    cut, _ = DifferentiableAugmentation(["cutout"])(ones, ones)
    hidden = (cut == 0).float().mean((1, 2, 3))
    assert hidden.max() <= (15 / 32) ** 2 + 1e-6
    assert hidden.min() > 0.03


def test_color_keeps_the_differences_of_positions_up_to_a_factor():
    torch.manual_seed(0)
    gray = torch.rand(4, 1, 8, 8).expand(4, 3, 8, 8)
    changed, _ = DifferentiableAugmentation(["color"])(gray, gray)
    for before, after in zip(gray.flatten(1), changed.flatten(1), strict=True):
        assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.999


def test_gradients_pass_to_the_generated_images():
    generated = torch.rand(2, 3, 16, 16, requires_grad=True)
    DifferentiableAugmentation(CHANGES)(torch.rand(2, 3, 16, 16), generated)[1].sum().backward()
    assert generated.grad.abs().sum() > 0


def test_an_unknown_change_is_a_user_error():
    with pytest.raises(UserError, match=r"discriminator\.augment=blur: give a list of color, translation, cutout"):
        DifferentiableAugmentation(["blur"])
