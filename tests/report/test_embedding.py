"""The page of an embedding."""

import json
import re

import numpy as np
import pytest
import torch

from dgn.report.embedding import EmbeddingShown, thumbnails, write_embedding


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


def test_a_map_that_is_wider_than_high_is_in_the_middle(tmp_path):
    places = np.array([[0.0, 0.0], [10.0, 2.0], [4.0, 1.0]])
    shown = EmbeddingShown(
        "PCA", "a", torch.rand(3, 3, 8, 8), places, np.array([[0, 0], [0, 1], [0, 2]]), ["x", "y", ""]
    )
    page = write_embedding(tmp_path, shown, "title", "command", {}).read_text(encoding="utf-8")
    drawn = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page, re.S)[1])["places"]
    np.testing.assert_allclose(drawn, [[0.0, 0.4], [1.0, 0.6], [0.4, 0.5]], atol=1e-5)
