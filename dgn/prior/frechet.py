"""Frechet distance between two sets of vectors: of samples and real codes, or of a judge's features of images."""

import torch
from torch import Tensor

from dgn.devices import double
from dgn.networks.precision import full_precision


@full_precision
def frechet(first: Tensor, second: Tensor) -> float:
    """Returns the squared Frechet distance between the normal distributions with the sets' means and covariances.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson & Landau 1982), in float64. With roots S = R^T R, the trace of
    (S1 S2)^(1/2) is the sum of the singular values of R1 R2^T. Sets smaller than d are allowed: missing rank of the
    covariances adds 0.

    Args:
        first: (N, d), at least two vectors.
        second: (M, d), at least two.
    """
    means = [double(vectors).mean(0) for vectors in (first, second)]
    roots = [_root(double(vectors) - mean) for vectors, mean in zip((first, second), means, strict=True)]
    overlap = torch.linalg.matrix_norm(roots[0] @ roots[1].T, "nuc")
    traces = sum(root.square().sum() for root in roots)
    return max(0.0, float((means[0] - means[1]).square().sum() + traces - 2 * overlap))


def _root(centred: Tensor) -> Tensor:
    """Returns R with R^T R = the covariance of (N, d) centred vectors, without forming it: (min(N, d), d)."""
    return torch.linalg.qr(centred / (len(centred) - 1) ** 0.5, mode="r").R
