"""Diversity across seeds: images of one objective, pushed away from each other (Olah et al. 2017, "Diversity")."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Diversity:
    """A term beside the objective: minus `weight` times the cosine between the Gram matrices of a layer's activations,
    summed over all pairs of seeds and divided by the seeds, as published. weight: in the objective's own units.
    layer: where seeds are to differ; None: the target's deepest map."""

    weight: float
    layer: str | None = None

    def of(self, target: FeatureNet) -> str:
        """The layer it reads in this network."""
        return target.layer(self.layer or target.trunk()).name

    def values(self, activations: Tensor, groups: Sequence[Tensor]) -> Tensor:
        """activations (N, ...) of the layer, groups: of `together` -> (N,): each image's share."""
        values = torch.zeros(len(activations), device=activations.device)
        for rows in groups:
            alike = gram_cosines(activations[rows].float())
            shares = (alike.sum(1) - alike.diagonal()) / len(rows)
            values = values.index_add(0, rows, -self.weight * shares)
        return values


def together(keys: Sequence[Hashable], device: torch.device | str = "cpu") -> list[Tensor]:
    """The rows that share a key: images of one objective."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [torch.tensor(same, device=device) for same in rows.values()]


def gram_cosines(activations: Tensor) -> Tensor:
    """(N, C, H, W), (N, tokens, C) or (N, C) -> (N, N): cosines between the images' Gram matrices, which say which
    channels are active together, wherever."""
    if activations.ndim == 4:
        features = activations.flatten(2)  # N, C, P
    else:
        features = (activations if activations.ndim == 3 else activations[:, None]).transpose(1, 2)
    count, channels, places = features.shape
    if channels <= places * count:
        grams = (features @ features.transpose(1, 2)).flatten(1)
        products = grams @ grams.T
    else:  # <A A', B B'> = |A' B|^2: no matrix of channels by channels where they are many
        flat = features.permute(0, 2, 1).reshape(count * places, channels)
        products = (flat @ flat.T).square().view(count, places, count, places).sum((1, 3))
    norms = products.diagonal().clamp_min(1e-20).sqrt()
    return products / (norms[:, None] * norms[None, :])
