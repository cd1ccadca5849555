"""The page of an embedding."""

import json
import re

import numpy as np
import torch

from dgn.report.embedding import EmbeddingShown, write_embedding


def test_a_map_that_is_wider_than_high_is_in_the_middle(tmp_path):
    places = np.array([[0.0, 0.0], [10.0, 2.0], [4.0, 1.0]])
    shown = EmbeddingShown(
        "PCA", "a", torch.rand(3, 3, 8, 8), places, np.array([[0, 0], [0, 1], [0, 2]]), ["x", "y", ""]
    )
    page = write_embedding(tmp_path, shown, "title", "command", {}).read_text(encoding="utf-8")
    drawn = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page, re.S)[1])["places"]
    np.testing.assert_allclose(drawn, [[0.0, 0.4], [1.0, 0.6], [0.4, 0.5]], atol=1e-5)
