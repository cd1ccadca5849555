"""Where a unit's top images lie among images that were laid out."""

import numpy as np
import torch

from dgn.report.contents import ImageMap
from dgn.report.image_map import marks
from dgn.visualization.image_map import placed


def test_an_image_lies_where_its_own_code_does_or_between_the_three_most_similar():
    random = np.random.default_rng(0)
    known, places = random.normal(size=(30, 5)), random.random((30, 2))
    new = random.normal(size=5)
    found = placed(torch.from_numpy(np.stack([known[7], new])), torch.from_numpy(known), torch.from_numpy(places))
    nearest = np.argsort(np.linalg.norm(known - new, axis=1))[:3]
    np.testing.assert_allclose(found[0], places[7])
    np.testing.assert_allclose(found[1], places[nearest].mean(0))


def test_marks_are_from_the_left_and_from_the_top():
    image_map = ImageMap("t-SNE", "fc7", torch.zeros(1, 3, 4, 4), torch.zeros(1, 2), {"fc8:0": torch.eye(2)})
    (right, low), (left, high) = marks(image_map, "fc8:0")
    assert right > 90
    assert low > 90
    assert left < 10
    assert high < 10
    assert marks(image_map, "fc8:1") == []
