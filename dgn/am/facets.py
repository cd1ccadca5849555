"""Facets: the kinds of real image that one unit answers to, and a start for the search of each.

Multifaceted feature visualization (Nguyen, Yosinski & Clune 2016): codes of a class's real images, PCA to 50
dimensions, t-SNE to 2, k-means; of each cluster the 15 images nearest its centre are averaged, and that mean starts
an optimization. For pixel methods it is the mean image; in the code space of a prior, the mean code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from dgn.errors import UserError

DIMENSIONS, NEAREST = 50, 15
"""Dimensions that PCA leaves, images averaged for a start: the published figures."""
PERPLEXITY = 30.0
"""t-SNE's own default (van der Maaten & Hinton 2008: 5 to 50); the paper does not state one."""


@dataclass(frozen=True)
class Facet:
    """One kind of image among N. members: places of its images in the N, nearest to its centre first.
    share: of the N."""

    members: tuple[int, ...]
    share: float

    def nearest(self, count: int = NEAREST) -> list[int]:
        """The places of the images nearest its centre, `count` of them or all there are."""
        return list(self.members[:count])

    def mean(self, values: Tensor, count: int = NEAREST) -> Tensor:
        """values (N, ...), of all N images in their order, images or codes -> the mean of those nearest the centre
        (...), float32: where a search for the facet's preferred image starts."""
        return values[self.nearest(count)].float().mean(0)


@dataclass(frozen=True)
class Facets:
    """facets: largest first; fewer than asked for where images coincide. labels (N,): which of them each image is
    in. embedding (N, 2): the images' t-SNE."""

    facets: tuple[Facet, ...]
    labels: np.ndarray
    embedding: np.ndarray

    def starts(self, values: Tensor, count: int = NEAREST) -> Tensor:
        """values (N, ...), images or codes -> one start for each facet (k, ...)."""
        return torch.stack([facet.mean(values, count) for facet in self.facets])


def find_facets(codes: Tensor, k: int, seed: int = 0, perplexity: float = PERPLEXITY) -> Facets:
    """codes (N, ...) of real images of one class -> its k facets.

    perplexity: at most a third of the other images, so that small sets have neighbourhoods at all.
    The same codes, k and seed give the same facets. Raises UserError for fewer than k images or than 4."""
    vectors = codes.detach().flatten(1).cpu().double().numpy()
    count = len(vectors)
    if k < 1:
        raise UserError(f"facets={k}: the number of facets must be at least 1")
    if count < max(4, k):
        raise UserError(f"facets={k}: {count} real images of the class are too few; give at least {max(4, k)}")
    if (vectors == vectors[0]).all():
        raise UserError(f"facets={k}: all {count} images have the same code; give a layer that tells them apart")
    reduced = PCA(min(DIMENSIONS, count - 1, vectors.shape[1]), random_state=seed).fit_transform(vectors)
    perplexity = min(perplexity, (count - 1) / 3)
    embedding = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return _clusters(embedding.astype(float), k, seed)


def class_images(batches: Iterable[tuple[Tensor, Tensor]], label: int, count: int) -> Tensor:
    """The first `count` images (or as many as there are) of a class out of batches (images, labels), (N, 3, H, W),
    on the CPU. Reads no further than it must."""
    found: list[Tensor] = []
    left = count
    for images, labels in batches:
        found.append(images[labels == label][:left].cpu())
        left -= len(found[-1])
        if left <= 0:
            break
    if left == count:
        raise UserError(f"no real image of class {label}; give more reference images")
    return torch.cat(found)


def agreement(labels: Sequence[int] | np.ndarray, true: Sequence[str]) -> float:
    """How well clusters match the facets that are known to be there: the adjusted Rand index, 1 for the same
    partition whatever the names, 0 on average for chance (Hubert & Arabie 1985)."""
    return float(adjusted_rand_score(true, labels))


def _clusters(embedding: np.ndarray, k: int, seed: int) -> Facets:
    means = KMeans(k, n_init=10, random_state=seed).fit(embedding)
    sizes = np.bincount(means.labels_, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    labels = np.argsort(order)[means.labels_]
    facets = []
    for rank, cluster in enumerate(order[: np.count_nonzero(sizes)]):
        members = np.flatnonzero(labels == rank)
        away = np.linalg.norm(embedding[members] - means.cluster_centers_[cluster], axis=1)
        members = members[np.argsort(away, kind="stable")]
        facets.append(Facet(tuple(members.tolist()), len(members) / len(embedding)))
    return Facets(tuple(facets), labels, embedding)
