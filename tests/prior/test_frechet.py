import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.fid import FrechetInceptionDistance

from dgn.prior.frechet import frechet


def normal(count: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    mix = np.random.default_rng(7).normal(size=(dim, dim)) / np.sqrt(dim)
    return torch.from_numpy(shift + scale * np.random.default_rng(seed).normal(size=(count, dim)) @ mix)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 12), (20, 40, 12), (12, 30, 80), (30, 200, 80)])
def test_it_is_that_of_the_covariances_by_scipy_also_of_fewer_vectors_than_dimensions(n, m, d):
    first, second = normal(n, d, 1, shift=0.3, scale=1.5), normal(m, d, 2)
    a, b = (np.cov(x.numpy(), rowvar=False) for x in (first, second))
    # the root of a product of rank-deficient covariances, by way of the symmetric root of one
    values, vectors = linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    crossed = np.sqrt(linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    means = (first.mean(0) - second.mean(0)).square().sum()
    expected = float(means) + np.trace(a) + np.trace(b) - 2 * crossed
    # the root of a rounding error of 1e-16 is 1e-8, for each missing rank
    assert frechet(first, second) == pytest.approx(expected, rel=1e-5)


def test_it_is_torchmetrics():
    class Features(torch.nn.Identity):
        num_features = 6

    first, second = normal(50, 6, 1, shift=0.5), normal(80, 6, 2)
    theirs = FrechetInceptionDistance(Features()).set_dtype(torch.float64)
    theirs.update(first, real=False)
    theirs.update(second, real=True)
    assert frechet(first.float(), second.float()) == pytest.approx(float(theirs.compute()), rel=1e-5)


def test_equal_sets_are_at_no_distance_and_large_offsets_cost_no_precision():
    first, second = normal(50, 8, 1), normal(60, 8, 2)
    assert frechet(second, second) == pytest.approx(0, abs=1e-12)
    assert frechet(first + 1e6, second + 1e6) == pytest.approx(frechet(first, second), rel=1e-5)
