"""Similarity of two representations of the same images: centred kernel alignment (CKA; Kornblith et al. 2019)."""

import torch
from torch import Tensor

from dgn.devices import double


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Returns linear CKA of two sets of features of the same images: 1 up to rotation and scale, 0 for no relation.

    |Y^T X|^2 / (|X^T X| |Y^T Y|) with centred columns and Frobenius norms, computed by the images' Gram matrices.

    Args:
        first: (N, d).
        second: (N, e).
    """
    grams = []
    for features in (first, second):
        centred = double(features.flatten(1))
        centred = centred - centred.mean(0)
        grams.append(centred @ centred.T)
    norms = torch.linalg.norm(grams[0]) * torch.linalg.norm(grams[1])
    return float((grams[0] * grams[1]).sum() / norms) if norms > 0 else float("nan")
