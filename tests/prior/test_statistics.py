import numpy as np
import torch
from torch import nn

from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.prior.statistics import UnitStatistics, measure


def test_statistics_over_batches_are_numpys_over_all():
    net = FeatureNet(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), InputSpace(size=(2, 2)), "tiny")
    images = torch.rand(103, 3, 2, 2)
    found = measure(net, ["1"], images.split(10))["1"]
    values = net(images, ["1"])["1"].double().numpy()
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.std, values.std(0), rtol=1e-5)
    np.testing.assert_allclose(found.min, values.min(0), rtol=1e-6)
    np.testing.assert_allclose(found.max, values.max(0), rtol=1e-6)
    assert found.count == 103
    np.testing.assert_allclose(found.total_variance, values.var(0).sum(), rtol=1e-5)


def of(low: float) -> UnitStatistics:
    return UnitStatistics(
        torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0]), torch.tensor([low, 2.0]), torch.ones(2), 9
    )


def test_rectified_codes_are_bounded_by_zero_and_three_sigma():
    low, high = of(0.0).bounds()
    assert low.tolist() == [0, 0]
    assert high.tolist() == [2.5, 2.0]


def test_other_codes_are_bounded_on_both_sides():
    low, high = of(-0.1).bounds(2)
    assert low.tolist() == [0, 2]
    assert high.tolist() == [2, 2]
