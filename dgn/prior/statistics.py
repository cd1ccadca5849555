"""Statistics of a layer's units over real images: mean, standard deviation, minimum, maximum."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.devices import double
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.prior.principal import NUMBERS, AxesFit, PrincipalAxes, principal_axes


@dataclass
class UnitStatistics:
    """Statistics of one layer's units over `count` real images; tensors (*layer shape), float32, on the CPU.

    `axes` (k, *layer shape) and `axes_std` (k,) are the principal axes of the activations, where they were fitted;
    `principal` makes use of them.
    """

    mean: Tensor
    std: Tensor
    min: Tensor
    max: Tensor
    count: int
    axes: Tensor | None = None
    axes_std: Tensor | None = None

    @property
    def principal(self) -> PrincipalAxes | None:
        """The principal axes, or None if they were not fitted."""
        if self.axes is None or self.axes_std is None:
            return None
        return principal_axes(self.mean, self.std, self.axes, self.axes_std)

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
def measure(
    net: FeatureNet,
    layers: Sequence[str],
    batches: Iterable[Tensor],
    axes: Mapping[str, int] | None = None,
    numbers: int | None = NUMBERS,
    seen: Callable[[Tensor, Mapping[str, Tensor]], None] | None = None,
) -> Mapping[str, UnitStatistics]:
    """Computes the statistics of layers in one pass over images, in float64 (on the CPU if the device has none).

    Batch means and squared deviations are merged as in Chan, Golub & LeVeque (1979).

    Args:
        net: The network.
        layers: Names of its layers.
        batches: Images (N, 3, H, W) in image space.
        axes: {layer: the number of principal axes to fit}; other layers have none.
        numbers: The most numbers in the axes of a layer, as for `AxesFit`.
        seen: Called with the images and the activations {layer: (N, ...)} of each batch.
    """
    running: dict[str, _Running] = {layer: _Running((axes or {}).get(layer, 0), numbers) for layer in layers}
    for images in batches:
        activations = net(images, layers)
        for layer, values in activations.items():
            running[layer].add(values)
        if seen is not None:
            seen(images, activations)
    return {layer: r.statistics() for layer, r in running.items()}


def statistics_shapes(tensors: Mapping[str, Tensor], code_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of the tensors of statistics of codes of this shape; with axes if `tensors` has them."""
    shapes = dict.fromkeys(("mean", "std", "min", "max"), tuple(code_shape))
    if "axes" not in tensors:
        return shapes
    count = tuple(tensors["axes"].shape[:1])
    return shapes | {"axes": (*count, *code_shape), "axes_std": count}


class _Running:
    def __init__(self, axes: int, numbers: int | None) -> None:
        self.count = 0
        self.axes = AxesFit(axes, numbers) if axes else None

    def add(self, activations: Tensor) -> None:
        if self.axes is not None:
            self.axes.add(activations)
        values = double(activations)
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
        axes = self.axes.axes() if self.axes is not None else (None, None)
        return UnitStatistics(mean, std, low, high, self.count, *axes)
