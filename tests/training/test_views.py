import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from dgn.errors import UserError
from dgn.training.views import WHOLE, View, Views


def test_the_whole_view_is_the_images_themselves():
    images = torch.rand(2, 3, 6, 8)
    assert WHOLE(images) is images
    assert Views().draw() == WHOLE
    assert not Views().used


def test_a_moved_view_is_rolled():
    images = torch.rand(2, 3, 6, 8)
    assert torch.equal(View(2, 3)(images), images.roll((2, 3), (2, 3)))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_a_part_is_enlarged_by_bilinear_interpolation(height, width):
    images = torch.rand(1, 1, height, width)
    side, top, left = 0.5, 1.0, 0.25
    part_height, part_width = height // 2, width // 2
    part = images[0, 0].numpy()[height - part_height :, round((width - part_width) / 4) :][:, :part_width]
    rows = (np.arange(height) + 0.5) * part_height / height - 0.5
    columns = (np.arange(width) + 0.5) * part_width / width - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(part, grid, order=1, mode="nearest")
    np.testing.assert_allclose(View(side=side, top=top, left=left)(images)[0, 0], expected, atol=1e-6)


def test_a_view_of_half_the_side_shows_the_same_part():
    """Of an image that rises evenly, so that its half is known everywhere."""
    rising = torch.linspace(0, 1, 64).repeat(64, 1)[None, None]
    half = rising.unfold(3, 2, 2).mean(-1)[..., ::2, :]
    view = View(side=0.5, top=0.5, left=0.5)
    ours, expected = view(half), view(rising).unfold(3, 2, 2).mean(-1)[..., ::2, :]
    torch.testing.assert_close(ours, expected, atol=0.02, rtol=0)


def test_views_are_drawn_within_their_bounds_and_repeat_with_the_seed():
    views = Views(shift=2, zoom=1.6)
    torch.manual_seed(0)
    drawn = [views.draw() for _ in range(300)]
    torch.manual_seed(0)
    assert [views.draw() for _ in range(300)] == drawn
    sides = [view.side for view in drawn]
    assert 1 / 1.6 <= min(sides) < 0.64
    assert 0.98 < max(sides) <= 1
    assert {view.rows for view in drawn} == {view.columns for view in drawn} == {0, 1, 2}
    assert all(0 <= view.top <= 1 and 0 <= view.left <= 1 for view in drawn)


def test_a_gradient_passes_to_the_part_alone():
    images = torch.rand(1, 1, 8, 8, requires_grad=True)
    View(side=0.5)(images).sum().backward()
    assert images.grad is not None
    assert (images.grad[..., :4, :4] > 0).all()
    assert images.grad.sum() == images.grad[..., :4, :4].sum()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift": -1}, r"comparator_shift=-1: give a number of pixels"),
        ({"shift": 1.5}, r"comparator_shift=1\.5: give a number of pixels"),
        ({"zoom": 0.5}, r"comparator_zoom=0\.5: give a factor of at least 1"),
        ({"zoom": "much"}, r"comparator_zoom=much: give a factor of at least 1"),
    ],
)
def test_wrong_settings_are_a_user_error(settings, message):
    with pytest.raises(UserError, match=message):
        Views(**settings)
