import warnings

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from dgn.errors import UserError
from dgn.metrics.intervals import interval
from dgn.metrics.naturalness import kid, naturalness, same_classes
from dgn.prior.frechet import frechet


def normal(count: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    mix = np.random.default_rng(7).normal(size=(dim, dim)) / np.sqrt(dim)
    return torch.from_numpy(shift + scale * np.random.default_rng(seed).normal(size=(count, dim)) @ mix).float()


def test_kid_of_independent_draws_is_torchmetrics():
    x, y = normal(30, 5, 1, shift=0.5), normal(30, 5, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KernelInceptionDistance(torch.nn.Identity(), subsets=1, subset_size=30)
    theirs.update(x.double(), real=False)
    theirs.update(y.double(), real=True)
    assert kid(x, y) == pytest.approx(float(theirs.compute()[0]))


def test_kid_is_right_on_average_where_every_unit_has_as_many_images():
    """Four images of each of eight classes and thirty real ones of each: 0 on average with the classes known;
    taken for independent draws they would come out far below."""
    known, unknown = [], []
    for i in range(80):
        (fake, units), (real, classes) = classes_apart(4, 2 * i), classes_apart(30, 2 * i + 1)
        known.append(kid(fake, real, units, classes))
        unknown.append(kid(fake, real))
    assert abs(np.mean(known)) < 3 * np.std(known) / np.sqrt(80)
    assert np.mean(unknown) < -3 * np.std(unknown) / np.sqrt(80)


def test_the_reference_is_real_images_of_the_same_classes_in_their_proportions():
    real = ["a"] * 10 + ["b"] * 4 + ["c"] * 10
    assert same_classes(["a", "b"], real).tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert same_classes(["a", "a", "b"], real).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]
    with pytest.raises(UserError, match="no real image of dog"):
        same_classes(["a", "dog"], real)


def classes_apart(count: int, seed: int, offset: float = 0.0) -> tuple[torch.Tensor, list[str]]:
    """Eight classes far from each other; `offset` moves them all."""
    centres = 6 * np.random.default_rng(0).normal(size=(8, 10))
    noise = np.random.default_rng(seed).normal(size=(8, count, 10))
    images = torch.from_numpy(centres[:, None] + noise + offset).reshape(-1, 10).float()
    return images, [f"class{i}" for i in range(8) for _ in range(count)]


def test_leaving_out_a_unit_leaves_out_its_class_so_that_the_interval_holds_the_figure():
    real, real_classes = classes_apart(40, 1)
    fake, classes = classes_apart(4, 2, offset=1.0)
    found = naturalness(fake, classes, classes, real, real_classes)
    assert (found.images, found.real) == (32, 320)
    whole = frechet(fake, real)
    assert found.frechet == pytest.approx(whole)
    stays, remains = ([c != "class3" for c in some] for some in (classes, real_classes))
    without = frechet(fake[stays], real[remains])
    assert found.frechet_folds[3] == pytest.approx(8 * whole - 7 * without)
    for folds, value in ((found.frechet_folds, found.frechet), (found.kid_folds, found.kid)):
        estimate = interval(folds, value)
        assert estimate.low < value < estimate.high
    far = naturalness(classes_apart(4, 2, offset=3.0)[0], classes, classes, real, real_classes)
    assert interval(far.frechet_folds, far.frechet).low > interval(found.frechet_folds, found.frechet).high


def test_kids_pseudo_values_are_those_without_each_class():
    real, real_classes = classes_apart(3, 1)
    fake, classes = classes_apart(3, 2, offset=1.0)
    found = naturalness(fake, classes, classes, real, real_classes)
    stays = [c != "class5" for c in classes]
    left = [c for c in classes if c != "class5"]
    assert found.kid == pytest.approx(kid(fake, real, classes, classes))
    without = kid(fake[stays], real[stays], left, left)
    assert found.kid_folds[5] == pytest.approx(8 * found.kid - 7 * without, rel=1e-6)


def test_hidden_units_are_compared_with_all_real_images():
    real, real_classes = classes_apart(10, 1)
    fake, units = classes_apart(2, 2)
    found = naturalness(fake, units, [None] * 16, real, real_classes)
    assert found.real == 80
    assert found.frechet == pytest.approx(frechet(fake, real))
    assert len(found.frechet_folds) == 8


def test_one_image_is_not_enough_for_a_distance():
    real, real_classes = classes_apart(10, 1)
    with pytest.raises(UserError, match="at least 2"):
        naturalness(real[:1], ["u"], ["class0"], real, real_classes)
