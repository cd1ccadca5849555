"""The map of real images for the units' pages: codes laid out in the plane, with the places of top images."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.inspection import Embedding
from dgn.metrics.features import extract_features
from dgn.networks.featurenet import FeatureNet
from dgn.report.contents import ImageMap, UnitNotes

_LEAST = 20  # images on a map
_NEIGHBOURS = 3  # of which an image that was not laid out takes the place


def make_image_map(
    target: FeatureNet, notes: Mapping[str, UnitNotes], reference: Reference, embedding: Embedding, count: int
) -> ImageMap | None:
    """Lays real images out by their codes in the layer that enters the classifier.

    t-SNE has no place for an image that it did not lay out. A unit's top images, which may be any of the reference's,
    get the mean place of the three images with the most similar codes.

    Args:
        target: the network.
        notes: {objective: its top real images}.
        reference: the real images.
        embedding: the method.
        count: how many images are laid out.

    Returns:
        The map; None if there are too few images or the network has no such layer.
    """
    count = min(count, reference.count)
    if count < _LEAST or not any(own.real for own in notes.values()):
        return None
    try:
        layer = target.code_layer()
    except UserError:
        return None
    images = _first(reference, count)
    codes = extract_features(target, images, layer)
    places = embedding(codes.numpy())
    low, span = places.min(0), np.maximum(np.ptp(places, axis=0), 1e-9)
    laid = torch.as_tensor((places - low) / span).float()
    tops = {}
    for objective, own in notes.items():
        if own.real:
            shown = torch.stack([real.image.float() for real in own.real])
            tops[objective] = placed(extract_features(target, shown, layer), codes, laid)
    return ImageMap(embedding.name, layer, images, laid, tops)


def placed(codes: Tensor, known: Tensor, places: Tensor) -> Tensor:
    """Returns the place (M, 2) of codes (M, d): the mean of those of the nearest known codes, or that of the same code.

    Args:
        codes: (M, d).
        known: (N, d), the codes that were laid out.
        places: (N, 2), where these are.
    """
    distances = torch.cdist(codes.float(), known.float())
    nearest = distances.topk(min(_NEIGHBOURS, len(known)), dim=1, largest=False)
    means = places[nearest.indices].mean(1)
    typical = known.float().std(0).norm()
    same = nearest.values[:, :1] < 1e-3 * typical  # the image is on the map itself
    return torch.where(same, places[nearest.indices[:, 0]], means)


def _first(reference: Reference, count: int) -> Tensor:
    """Returns the first images of the reference."""
    parts: list[Tensor] = []
    for batch in reference.images():
        parts.append(batch)
        if sum(map(len, parts)) >= count:
            break
    return torch.cat(parts)[:count]
