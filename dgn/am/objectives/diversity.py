"""Diversity across seeds: images of one objective, pushed away from each other (Olah et al. 2017, "Diversity")."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Diversity:
    """A term added to the objective that makes the seeds of one objective differ.

    It is minus `weight` times the cosine between the Gram matrices of a layer's activations, summed over all pairs
    of seeds and divided by the number of seeds, as published.

    Args:
        weight: the weight of the term, in the objective's units.
        layer: the layer in which seeds should differ; None: the target's deepest map.
    """

    weight: float
    layer: str | None = None

    def layer_name(self, target: FeatureNet) -> str:
        """Returns the name of the layer that the term reads in this network."""
        return target.layer(self.layer or target.trunk()).name

    def values(self, activations: Tensor, groups: Sequence[Tensor]) -> Tensor:
        """Returns each image's share of the term, (N,).

        Args:
            activations: (N, ...), the layer's activations.
            groups: the rows of each objective, from `together`.
        """
        values = torch.zeros(len(activations), device=activations.device)
        for rows in groups:
            cosines = gram_cosines(activations[rows].float())
            shares = (cosines.sum(1) - cosines.diagonal()) / len(rows)
            values = values.index_add(0, rows, -self.weight * shares)
        return values


def together(keys: Sequence[Hashable], device: torch.device | str = "cpu") -> list[Tensor]:
    """Returns the rows of each group of equal keys: the images of one objective."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [torch.tensor(group, device=device) for group in rows.values()]


def gram_cosines(activations: Tensor) -> Tensor:
    """Returns the cosines between the images' Gram matrices, (N, N).

    A Gram matrix holds which channels are active together, at any position.

    Args:
        activations: (N, C, H, W), (N, tokens, C) or (N, C).
    """
    if activations.ndim == 4:
        features = activations.flatten(2)  # N, C, P
    else:
        features = (activations if activations.ndim == 3 else activations[:, None]).transpose(1, 2)
    count, channels, places = features.shape
    if channels <= places * count:
        grams = (features @ features.transpose(1, 2)).flatten(1)
        products = grams @ grams.T
    else:  # <A A', B B'> = |A' B|^2: avoids a channels x channels matrix when there are many channels
        flat = features.permute(0, 2, 1).reshape(count * places, channels)
        products = (flat @ flat.T).square().view(count, places, count, places).sum((1, 3))
    norms = products.diagonal().clamp_min(1e-20).sqrt()
    return products / (norms[:, None] * norms[None, :])
