"""The patches that excite each channel of a layer most, and their deconvolutions (Zeiler & Fergus 2013, fig. 2)."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.objectives.terms import Unit
from dgn.attribution import Deconvnet
from dgn.data.batches import BATCH
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.metrics.top_images import TopImages, at_input, crop, top_images, uncut_region
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChannelPatches:
    """The top patches of one channel.

    Attributes:
        layer: The layer.
        index: The channel.
        patches: (k, 3, h, w), the patches of real images, of the size of the receptive field.
        deconvolutions: (k, 3, h, w), what of each excites the channel, backwards through the network; 0 is nothing.
            None: the network has none, as its nonlinearities are no ReLUs.
        values: (k,), the activations.
        places: The places of the images in the training stream.
        label: The channel's name, if it has one.
    """

    layer: str
    index: int
    patches: Tensor
    deconvolutions: Tensor | None
    values: Tensor
    places: list[int]
    label: str = ""


def top_patches(
    net: FeatureNet, units: Sequence[Unit], reference: Reference, k: int = 9, batch_size: int = BATCH
) -> list[ChannelPatches]:
    """Returns the patches of real images that excite each channel most, with their deconvolutions.

    Args:
        net: The network.
        units: One unit of each channel; its position does not matter.
        reference: The real images.
        k: The number of patches of each channel.
        batch_size: Deconvolutions that run together.
    """
    return patches_of(net, units, top_images(net, units, reference.images(), k), reference, batch_size)


def patches_of(
    net: FeatureNet, units: Sequence[Unit], ranked: Sequence[TopImages], reference: Reference, batch_size: int = BATCH
) -> list[ChannelPatches]:
    """Returns the patches of each channel in its top images, with their deconvolutions.

    Args:
        net: The network.
        units: One unit of each channel.
        ranked: The top images of each channel (`dgn.metrics.top_images`).
        reference: The real images.
        batch_size: Deconvolutions that run together.
    """
    pool = reference.images_at(index for top in ranked for index in top.indices.tolist())
    patches: dict[tuple[int, int], Tensor] = {}
    deconvolutions: dict[tuple[int, int], Tensor] = {}
    possible = True
    for part in _parts(units, ranked, batch_size):
        images = torch.stack([at_input(net, pool[int(ranked[n].indices[row])][None])[0] for n, row in part])
        objectives = [unit_at(units[n], ranked[n].places[row]) for n, row in part]
        back = None
        if possible:
            try:
                back = deconvolved(net, objectives, images.to(net.device)).cpu()
            except UserError as error:
                log.info("Patches are shown without deconvolutions: %s", error)
                possible = False
        for i, (n, row) in enumerate(part):
            region = _region(net, units[n].layer, ranked[n].places[row], images[i])
            patches[n, row] = crop(images[i], region)
            if back is not None:
                deconvolutions[n, row] = crop(back[i], region, fill=0.0)
    return [
        ChannelPatches(
            unit.layer,
            unit.index,
            torch.stack([patches[n, row] for row in range(len(top.values))]),
            torch.stack([deconvolutions[n, row] for row in range(len(top.values))]) if deconvolutions else None,
            top.values,
            top.indices.tolist(),
            unit.label,
        )
        for n, (unit, top) in enumerate(zip(units, ranked, strict=True))
    ]


@torch.inference_mode(False)
@full_precision
def deconvolved(net: FeatureNet, objectives: Sequence[Objective], images: Tensor) -> Tensor:
    """Returns the deconvolution (N, 3, H, W) of each image's own objective, all in one pass.

    Args:
        net: The network.
        objectives: The objective of each image, all of one layer.
        images: (N, 3, H, W) in image space.

    Raises:
        UserError: If the network has no deconvolution, as its nonlinearities are no ReLUs.
    """
    from captum.attr import Deconvolution  # here: it takes a second, and most commands need none of it

    Deconvnet()(net, objectives[0], images[:1])  # refuses networks that have no such reading
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        method = Deconvolution(_Each(net, [below_rectifier(o, net) for o in objectives]))
        attributed: Tensor = method.attribute(images.detach().clone().requires_grad_(True))
    return attributed.detach()


class _Each(nn.Module):
    """The value of each image's own objective."""

    def __init__(self, net: FeatureNet, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.net = net
        self.values = Evaluation(objectives, net.device)

    def forward(self, images: Tensor) -> Tensor:
        return self.values(self.net(images, self.values.layers))


def _parts(units: Sequence[Unit], ranked: Sequence[TopImages], size: int) -> Iterator[list[tuple[int, int]]]:
    """Yields batches of (unit, row of its top images), each of units of one layer."""
    for layer in dict.fromkeys(unit.layer for unit in units):
        own = [n for n, unit in enumerate(units) if unit.layer == layer]
        jobs = [(n, row) for n in own for row in range(len(ranked[n].values))]
        yield from (jobs[first : first + size] for first in range(0, len(jobs), size))


def unit_at(unit: Unit, place: tuple[int, ...]) -> Objective:
    """Returns the objective of a unit's channel at a place of its map."""
    return Objective(((1.0, Unit(unit.layer, unit.index, place or None, unit.label)),))


def _region(net: FeatureNet, layer: str, place: tuple[int, ...], image: Tensor) -> tuple[int, int, int, int]:
    """Returns what a unit sees, not cut off at the borders; the whole image if it sees that, or if it is unknown."""
    height, width = image.shape[-2:]
    field = net.receptive_field(layer)
    if field is None or len(place) != 2 or field.size[0] >= height or field.size[1] >= width:
        return 0, 0, height, width
    return uncut_region(place, field.size, field.stride, field.offset)
