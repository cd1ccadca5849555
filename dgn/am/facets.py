"""Facets: the kinds of real image that excite one unit, and a start for the search of each.

Multifaceted feature visualization (Nguyen, Yosinski & Clune 2016): codes of a class's real images, PCA to 50
dimensions, t-SNE to 2, k-means. The 15 images nearest to each cluster's centre are averaged, and the search starts
from that mean: the mean image for pixel methods, the mean code in the code space of a prior.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.errors import UserError

DIMENSIONS, NEAREST = 50, 15
"""Dimensions kept by PCA and images averaged for a start, as published."""
PERPLEXITY = 30.0
"""The default of t-SNE (van der Maaten & Hinton 2008: 5 to 50); the facets paper does not state one."""


@dataclass(frozen=True)
class Facet:
    """One kind of image among N images.

    Attributes:
        members: indices of its images among the N, nearest to its centre first.
        share: the fraction of the N images that are members.
    """

    members: tuple[int, ...]
    share: float

    def nearest(self, count: int = NEAREST) -> list[int]:
        """Returns the indices of the `count` images nearest to the centre, or of all members if there are fewer."""
        return list(self.members[:count])

    def mean(self, values: Tensor, count: int = NEAREST) -> Tensor:
        """Returns the mean over the images nearest to the centre, (...), float32: the start of the facet's search.

        Args:
            values: (N, ...), images or codes of all N images, in order.
            count: how many images are averaged.
        """
        return values[self.nearest(count)].float().mean(0)


@dataclass(frozen=True)
class Facets:
    """The facets of N images.

    Attributes:
        facets: largest first; fewer than requested when images coincide.
        labels: (N,), the index of each image's facet.
        embedding: (N, 2), the t-SNE embedding of the images.
    """

    facets: tuple[Facet, ...]
    labels: np.ndarray
    embedding: np.ndarray

    def starts(self, values: Tensor, count: int = NEAREST) -> Tensor:
        """Returns one start for each facet, (k, ...), from values (N, ...): images or codes."""
        return torch.stack([facet.mean(values, count) for facet in self.facets])


def find_facets(codes: Tensor, k: int, seed: int = 0, perplexity: float = PERPLEXITY) -> Facets:
    """Finds k facets of one class from the codes of its real images.

    The same codes, k and seed give the same facets.

    Args:
        codes: (N, ...), codes of real images of one class.
        k: the number of facets.
        seed: seeds PCA, t-SNE and k-means.
        perplexity: of t-SNE; limited to a third of the number of other images, so that small sets work.

    Raises:
        UserError: if there are fewer than k or fewer than 4 images, or if all codes are equal.
    """
    from sklearn.decomposition import PCA  # here: it takes a second, and most commands need none of it
    from sklearn.manifold import TSNE

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
    """Returns the first `count` images of a class, (N, 3, H, W), on the CPU; fewer if the batches hold fewer.

    Stops reading as soon as it has enough images.

    Args:
        batches: pairs (images, labels).
        label: the class.
        count: how many images to return.

    Raises:
        UserError: if no image has this label.
    """
    chosen: list[Tensor] = []
    left = count
    for images, labels in batches:
        chosen.append(images[labels == label][:left].cpu())
        left -= len(chosen[-1])
        if left <= 0:
            break
    if left == count:
        raise UserError(f"no real image of class {label}; give more reference images")
    return torch.cat(chosen)


def agreement(labels: Sequence[int] | np.ndarray, true: Sequence[str]) -> float:
    """Returns the adjusted Rand index between clusters and known facets (Hubert & Arabie 1985).

    It is 1 for the same partition under any names, and 0 on average for random labels.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(true, labels))


def _clusters(embedding: np.ndarray, k: int, seed: int) -> Facets:
    from sklearn.cluster import KMeans

    means = KMeans(k, n_init=10, random_state=seed).fit(embedding)
    sizes = np.bincount(means.labels_, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    labels = np.argsort(order)[means.labels_]
    facets = []
    for rank, cluster in enumerate(order[: np.count_nonzero(sizes)]):
        members = np.flatnonzero(labels == rank)
        distances = np.linalg.norm(embedding[members] - means.cluster_centers_[cluster], axis=1)
        members = members[np.argsort(distances, kind="stable")]
        facets.append(Facet(tuple(members.tolist()), len(members) / len(embedding)))
    return Facets(tuple(facets), labels, embedding)
