"""The pictures of an embedding's page."""

import pytest
import torch

from dgn.report.embedding import thumbnails


@pytest.mark.parametrize(("shape", "covered"), [((24, 48), (slice(5, 15), slice(0, 20))),
                                                ((60, 20), (slice(0, 20), slice(6, 13)))])  # fmt: skip
def test_pictures_that_are_no_squares_keep_their_proportions(shape, covered):
    thumbs = thumbnails(torch.full((2, 3, *shape), 0.25), 20)
    expected = torch.ones(2, 3, 20, 20)
    expected[:, :, covered[0], covered[1]] = 0.25
    torch.testing.assert_close(thumbs, expected)


def test_square_pictures_fill_their_squares():
    images = torch.rand(2, 3, 20, 20)
    torch.testing.assert_close(thumbnails(images, 20), images, rtol=0, atol=1e-6)
