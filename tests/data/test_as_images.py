"""Images that are in memory already, in the forms that a notebook has them in."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.images import as_images
from dgn.errors import UserError

LEVELS = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(LEVELS).permute(0, 3, 1, 2).float() / 255
PICTURES = [Image.fromarray(levels) for levels in LEVELS]

TAKEN = {
    "float32": EXPECTED,
    "float64": EXPECTED.double(),
    "bytes": torch.from_numpy(LEVELS).permute(0, 3, 1, 2),
    "array": LEVELS,
    "array, channels first": LEVELS.transpose(0, 3, 1, 2),
    "float array": LEVELS.astype(np.float64) / 255,
    "reversed twice": LEVELS[::-1][::-1],
    "read only": np.lib.stride_tricks.as_strided(LEVELS, writeable=False),
    "Pillow images": PICTURES,
    "tuple": tuple(PICTURES),
    "list of arrays": list(LEVELS),
    "list of tensors": list(EXPECTED),
    "mixed list": [PICTURES[0], EXPECTED[1].double()],
}


@pytest.mark.parametrize("form", TAKEN)
def test_every_form_of_images_is_the_same_batch(form):
    images = as_images(TAKEN[form])
    assert images.dtype == (torch.float64 if form == "float64" else torch.float32)
    torch.testing.assert_close(images.float(), EXPECTED, rtol=0, atol=1e-6)


def test_one_picture_is_a_batch_of_one_where_that_is_plain():
    for one in (PICTURES[0], LEVELS[0], [PICTURES[0]], PICTURES[0].convert("RGBA")):
        torch.testing.assert_close(as_images(one), EXPECTED[:1])
    grey = PICTURES[0].convert("L")
    assert as_images(grey).shape == (1, 3, 8, 6)


def test_values_within_the_bounds_are_not_changed_and_gradients_pass():
    assert as_images(EXPECTED) is EXPECTED
    for other in (EXPECTED.half(), EXPECTED.bfloat16(), EXPECTED.double()):
        assert as_images(other) is other
    attached = [image.requires_grad_() for image in EXPECTED.clone()]
    as_images([*attached]).sum().backward()
    assert all(image.grad.eq(1).all() for image in attached)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (EXPECTED[0], "(3, 8, 6) are not a batch (N, C, H, W); for one image give image[None]"),
        (EXPECTED[0].numpy(), "for one image give image[None]"),
        (torch.from_numpy(LEVELS), "channels last; give images.permute(0, 3, 1, 2)"),
        (torch.from_numpy(LEVELS)[:, :, :, :1], "channels last; give images.permute(0, 3, 1, 2)"),
        (EXPECTED[0, 0], "(8, 6) are not a batch of images"),
        (EXPECTED.mul(255).long(), "torch.int64 have an unknown range; give uint8"),
        (LEVELS.astype(np.float32), "values up to 255; floats are 0..1: divide them by 255"),
        ([PICTURES[0], PICTURES[1].resize((9, 9))], "several sizes (6x8, 9x9)"),
        ([], "empty"),
        ([EXPECTED], "join batches with torch.cat"),
        ("photo.jpg", "a str is not an image"),
        (3, "a int is not an image"),
    ],
)
def test_anything_else_is_refused_in_one_line(images, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        as_images(images)
    assert "\n" not in str(error.value)
