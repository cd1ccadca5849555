"""The real images that excite units most, for many units of many layers in one pass over a stream."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.terms import Unit
from dgn.data.batches import Images, batches
from dgn.data.images import as_images
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

Place = tuple[int, ...]
"""(row, column) in a map, (token,) among tokens, () in a vector."""

Region = Callable[[FeatureNet, str, Place], tuple[int, int, int, int]]
"""Maps (net, layer, place) to the receptive field (top, left, bottom, right), in pixels of the image at the network's
input; bottom and right are exclusive."""


@dataclass(frozen=True)
class TopImages:
    """The k images that excite one unit most.

    Attributes:
        unit: the unit; None for an objective that is not a unit.
        values: (k,), the activations, in descending order.
        indices: (k,), the indices of the images in the stream.
        places: the position of each activation in the map (for a mean over the map, of the maximum).
    """

    unit: Unit | None
    values: Tensor
    indices: Tensor
    places: list[Place]


@torch.no_grad()
@full_precision
def top_images(
    net: FeatureNet, units: Sequence[Unit], images: Images, k: int = 9, anywhere: bool = True
) -> list[TopImages]:
    """Returns the k images that excite each unit most, or all if there are fewer; of equal ones the earlier.

    Args:
        net: the network.
        units: the units.
        images: (N, 3, H, W) in image space, or batches of them.
        k: the number of images per unit.
        anywhere: takes a unit's maximum over its map (Zhou et al. 2015, Yosinski et al. 2015); else its activation
            at its own position, or the mean over the map if its position is "mean".

    Raises:
        UserError: if there is no image or k is less than 1.
    """
    if k < 1:
        raise UserError(f"top={k}: the number of images a unit is shown with must be at least 1")
    layers = list(dict.fromkeys(unit.layer for unit in units))
    trackers = {layer: _Best([u for u in units if u.layer == layer], net, layer, k, anywhere) for layer in layers}
    start, device = 0, net.device
    for batch in batches(images):
        for layer, activations in net(moved(batch, device), layers).items():
            trackers[layer].add(activations.float(), start)
        start += len(batch)
    if start == 0:
        raise UserError("no real image to look for a unit's top images in; give reference images")
    order = {layer: iter(best.results()) for layer, best in trackers.items()}
    return [next(order[unit.layer]) for unit in units]


def at_input(net: FeatureNet, images: Any) -> Tensor:
    """Returns images as the network sees them: resized or cropped to its input, still in image space.

    Args:
        net: the network.
        images: (N, C, H, W) in image space, or anything that `as_images` accepts.
    """
    return net.input_space.seen(as_images(images)).clamp(0, 1)


def uncut_region(
    place: Place, size: tuple[int, int], stride: tuple[float, float], offset: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Returns the receptive field (top, left, bottom, right) at a place of a map, not clipped to the image.

    All receptive fields of a layer then have the same size, with the unit at the centre.

    Args:
        place: (row, column) in the map.
        size: height and width of the layer's receptive fields, in pixels.
        stride: the distance between neighbouring receptive fields, in pixels.
        offset: the first row and column that the unit at (0, 0) sees; negative if in the padding.
    """
    top, left = (math.ceil(o + s * p) for o, s, p in zip(offset, stride, place, strict=True))
    return top, left, top + size[0], left + size[1]


def crop(image: Tensor, region: tuple[int, int, int, int], fill: float = 0.5) -> Tensor:
    """Returns a region of an image, (3, bottom - top, right - left); the part outside the image is filled with grey.

    All crops of one layer then have the same scale and size.

    Args:
        image: (3, H, W) at the network's input.
        region: (top, left, bottom, right) in pixels.
        fill: the value outside the image.
    """
    top, left, bottom, right = region
    out = image.new_full((image.shape[0], bottom - top, right - left), fill)
    (height, width) = image.shape[1:]
    inside = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if inside[0].start < inside[0].stop and inside[1].start < inside[1].stop:
        to = (slice(part.start - edge, part.stop - edge) for part, edge in zip(inside, (top, left), strict=True))
        out[(slice(None), *to)] = image[(slice(None), *inside)]
    return out


class _Best:
    """The k best images of one layer's units so far."""

    def __init__(self, units: Sequence[Unit], net: FeatureNet, layer: str, k: int, anywhere: bool) -> None:
        self.units, self.k, self.anywhere = units, k, anywhere
        shape = net.layer(layer).shape
        # The shape is that of maps (C, H, W), tokens (T, d) or vectors (d,); sides are the positions' axes.
        self.sides = shape[1:] if len(shape) == 3 else shape[:-1]
        self.channels = torch.tensor([unit.index for unit in units])
        self.values = torch.empty(len(units), 0)
        self.indices = torch.empty(len(units), 0, dtype=torch.long)
        self.places = torch.empty(len(units), 0, dtype=torch.long)

    def add(self, activations: Tensor, start: int) -> None:
        values, places = self._read(activations)
        indices = torch.arange(start, start + len(activations)).expand(len(self.units), -1)
        values = torch.cat([self.values, values.T.cpu()], 1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self.values = values.gather(1, order)
        self.indices = torch.cat([self.indices, indices], 1).gather(1, order)
        self.places = torch.cat([self.places, places.T.cpu()], 1).gather(1, order)

    def _read(self, activations: Tensor) -> tuple[Tensor, Tensor]:
        """Returns each unit's values and flat positions, both (n, U), from the layer's activations (n, ...)."""
        channels = self.channels.to(activations.device)
        if not self.sides:
            values = activations[:, channels]
            return values, torch.zeros_like(values, dtype=torch.long)
        maps = activations.movedim(-1, 1) if activations.ndim == 3 else activations
        maps = maps[:, channels].flatten(2)
        values, places = maps.max(2)
        if not self.anywhere:
            for column, unit in enumerate(self.units):
                if unit.position == "mean":
                    values[:, column] = maps[:, column].mean(1)
                elif isinstance(unit.position, tuple):
                    place = self._flat(unit.position)
                    values[:, column], places[:, column] = maps[:, column, place], place
        return values, places

    def _flat(self, position: Place) -> int:
        return position[0] * self.sides[1] + position[1] if len(self.sides) == 2 else position[0]

    def _place(self, flat: int) -> Place:
        return divmod(flat, self.sides[1]) if len(self.sides) == 2 else (flat,) * len(self.sides)

    def results(self) -> list[TopImages]:
        return [
            TopImages(unit, self.values[row], self.indices[row], [self._place(p) for p in self.places[row].tolist()])
            for row, unit in enumerate(self.units)
        ]
