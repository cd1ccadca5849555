"""How the units of each layer behave on real images: dead units, and sparsity."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.data.batches import Images, batches
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of a layer's channels over all images and positions.

    Attributes:
        layer: The layer's name.
        shape: Shape of its activations, without the batch.
        images: The number of images.
        dead: (units,), whether a channel has the same value everywhere, as one that its ReLU always silences.
        zero_share: The share of activations that are exactly 0.
        lifetime_sparsity: (units,), of the channel's largest activations over images (Vinje & Gallant 2000): 0 if it
            responds to all images alike, 1 if to one alone. NaN for dead channels and for layers with negative values.
        mean: The mean activation.
        std: The standard deviation of all activations.
    """

    layer: str
    shape: tuple[int, ...]
    images: int
    dead: Tensor
    zero_share: float
    lifetime_sparsity: Tensor
    mean: float
    std: float

    @property
    def median_sparsity(self) -> float:
        """The median lifetime sparsity of the channels that are not dead; NaN if there is none."""
        known = self.lifetime_sparsity[~self.lifetime_sparsity.isnan()]
        return float(known.median()) if len(known) else float("nan")


class Kept(Protocol):
    """Keeps what was computed, so that a run that is stopped goes on after it."""

    def find(self, name: str) -> Any | None:
        """Returns what is kept under a name, or None."""

    def add(self, name: str, part: Any) -> None:
        """Keeps plain values and tensors under a name."""


_EVERY = 20.0  # seconds between the times at which the sums are kept
_SUMS = "statistics"


@torch.no_grad()
@full_precision
def layer_statistics(
    net: FeatureNet, layers: Sequence[str], images: Images, kept: Kept | None = None
) -> list[LayerStatistics]:
    """Measures layers on images, in one pass.

    Args:
        net: The network.
        layers: The layers.
        images: (N, 3, H, W) in image space, or batches of them.
        kept: Keeps the sums over the batches so far; batches that an earlier run has measured are passed over.

    Raises:
        UserError: If there is no image.
    """
    sums = {layer: _Sums(net.layer(layer).shape) for layer in layers}
    earlier = kept.find(_SUMS) if kept is not None else None
    measured, last = 0, time.monotonic()
    if earlier is not None and earlier["sums"].keys() == sums.keys():
        measured = earlier["batches"]
        for layer, values in earlier["sums"].items():
            vars(sums[layer]).update(values)
    for number, batch in enumerate(batches(images)):
        if number < measured:
            continue
        for layer, activations in net(moved(batch, net.device), layers).items():
            sums[layer].add(activations.float())
        if kept is not None and time.monotonic() - last > _EVERY:
            kept.add(_SUMS, {"batches": number + 1, "sums": {layer: vars(own) for layer, own in sums.items()}})
            last = time.monotonic()
    if not next(iter(sums.values())).images:
        raise UserError("statistics of layers need real images; name some with data=doodles or data=image_folder")
    return [sums[layer].statistics(layer) for layer in layers]


class _Sums:
    """What is summed over the images of a layer."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.images = self.numbers = self.zeros = 0
        self.total = self.squares = 0.0
        self.low = self.high = self.peaks = self.peak_squares = torch.zeros(())

    def add(self, activations: Tensor) -> None:
        channels = activations.movedim(-1, 1) if activations.ndim == 3 else activations
        channels = channels.flatten(2) if channels.ndim > 2 else channels[..., None]  # (N, units, positions)
        peaks = channels.amax(2).double().cpu()
        low, high = channels.amin((0, 2)).cpu(), channels.amax((0, 2)).cpu()
        first = self.images == 0
        self.low = low if first else torch.minimum(self.low, low)
        self.high = high if first else torch.maximum(self.high, high)
        self.peaks = peaks.sum(0) + (0 if first else self.peaks)
        self.peak_squares = peaks.square().sum(0) + (0 if first else self.peak_squares)
        self.images += len(channels)
        self.numbers += channels.numel()
        self.zeros += int((channels == 0).sum())
        self.total += float(channels.double().sum())
        self.squares += float(channels.double().square().sum())

    def statistics(self, layer: str) -> LayerStatistics:
        dead = self.low == self.high
        mean = self.total / self.numbers
        std = max(0.0, self.squares / self.numbers - mean**2) ** 0.5
        activity = (self.peaks / self.images).square() / (self.peak_squares / self.images)
        sparsity = (1 - activity) / (1 - 1 / self.images) if self.images > 1 else torch.full_like(activity, torch.nan)
        if float(self.low.min()) < 0:
            sparsity = torch.full_like(sparsity, torch.nan)
        sparsity = torch.where(dead, torch.nan, sparsity)
        share = self.zeros / self.numbers
        return LayerStatistics(layer, self.shape, self.images, dead, share, sparsity.float(), mean, std)
