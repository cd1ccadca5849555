"""The average of G's weights that a prior holds."""

import torch
from torch import nn

from dgn.training.weight_average import WeightAverage


def test_weights_are_averaged_and_running_statistics_are_those_of_the_network():
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, decay=0.5)
    for weight, mean in ((1.0, 3.0), (2.0, 5.0), (4.0, 7.0)):
        network.weight.data.fill_(weight)
        network.running_mean.fill_(mean)
        average.update(network)
    # The first update copies; then d = (1 + t) / (10 + t) is below 0.5: 2/11 and 3/12.
    expected = 3 / 12 * (2 / 11 * 1.0 + 9 / 11 * 2.0) + 9 / 12 * 4.0
    torch.testing.assert_close(average.module.weight.detach(), torch.tensor([expected]))
    assert float(average.module.running_mean) == 7.0
