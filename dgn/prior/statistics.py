"""Statistics of a layer's units over real images: mean, standard deviation, minimum, maximum."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.devices import double
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass
class UnitStatistics:
    """Statistics of one layer's units over `count` real images; tensors (*layer shape), float32, on the CPU."""

    mean: Tensor
    std: Tensor
    min: Tensor
    max: Tensor
    count: int

    @property
    def rectified(self) -> bool:
        """Whether no unit was ever negative, as after a ReLU."""
        return bool((self.min >= 0).all())

    @property
    def total_variance(self) -> float:
        """Sum of the units' variances: E |y - E y|^2."""
        return float(self.std.double().square().sum())

    def bounds(self, sigmas: float = 3.0) -> tuple[Tensor, Tensor]:
        """Returns the lower and upper bounds to which DGN-AM clips each unit, each (*layer shape).

        They are [0, mean + sigmas * sigma] for rectified codes (Nguyen et al. 2016, 2.4; 3 sigma) and
        mean -+ sigmas * sigma for others. Units that never vary keep their value.
        """
        high = self.mean + sigmas * self.std
        low = torch.zeros_like(high) if self.rectified else self.mean - sigmas * self.std
        return low, high


@torch.no_grad()
@full_precision
def measure(net: FeatureNet, layers: Sequence[str], batches: Iterable[Tensor]) -> Mapping[str, UnitStatistics]:
    """Computes the statistics of layers in one pass over images, in float64 (on the CPU if the device has none).

    Batch means and squared deviations are merged as in Chan, Golub & LeVeque (1979).

    Args:
        net: The network.
        layers: Names of its layers.
        batches: Images (N, 3, H, W) in image space.
    """
    running: dict[str, _Running] = {layer: _Running() for layer in layers}
    for images in batches:
        for layer, activations in net(images, layers).items():
            running[layer].add(double(activations))
    return {layer: r.statistics() for layer, r in running.items()}


class _Running:
    def __init__(self) -> None:
        self.count = 0

    def add(self, values: Tensor) -> None:
        count, mean = len(values), values.mean(0)
        squares = (values - mean).square().sum(0)
        low, high = values.amin(0), values.amax(0)
        if self.count == 0:
            self.count, self.mean, self.squares, self.low, self.high = count, mean, squares, low, high
            return
        total, delta = self.count + count, mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.squares = self.squares + squares + delta.square() * (self.count * count / total)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.count = total

    def statistics(self) -> UnitStatistics:
        std = (self.squares / self.count).sqrt()
        mean, std, low, high = (t.float().cpu() for t in (self.mean, std, self.low, self.high))
        return UnitStatistics(mean, std, low, high, self.count)
