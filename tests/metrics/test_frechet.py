import numpy as np
import pytest
import scipy.linalg
import torch

from dgn.metrics.frechet import frechet


def test_the_distance_is_that_of_the_definition():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(80, 5, generator=generator)
    b = 0.5 + torch.randn(60, 5, generator=generator) @ torch.randn(5, 5, generator=generator)
    means = [x.double().numpy().mean(0) for x in (a, b)]
    covariances = [np.cov(x.double().numpy(), rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
