"""Codes of images laid out in the plane: t-SNE (van der Maaten & Hinton 2008) and UMAP (McInnes et al. 2018)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dgn.errors import UserError


class Embedding(Protocol):
    """Lays codes out in the plane."""

    name: str

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Maps codes (N, d) to places (N, 2)."""


@dataclass(frozen=True)
class TSNE:
    """t-SNE by scikit-learn, after PCA, from the two strongest axes.

    Attributes:
        perplexity: About how many neighbours of a code count; reduced for fewer than three times as many codes.
        pca: The number of principal axes that are kept, 50 as in the paper.
        seed: Of the optimization.
    """

    perplexity: float = 30.0
    pca: int = 50
    seed: int = 0
    name: str = "t-SNE"

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        from sklearn.manifold import TSNE as ScikitTSNE  # here: it takes a second, and most commands need none of it

        codes = _reduced(codes, self.pca, self.seed)
        perplexity = min(self.perplexity, max(1.0, (len(codes) - 1) / 3))
        method = ScikitTSNE(perplexity=perplexity, init="pca", random_state=self.seed)
        return np.asarray(method.fit_transform(codes))


@dataclass(frozen=True)
class UMAP:
    """UMAP by umap-learn, which the extra `umap` installs.

    Attributes:
        neighbours: How many neighbours of a code count.
        distance: The smallest distance of places in the plane.
        pca: The number of principal axes that are kept.
        seed: Of the optimization.
    """

    neighbours: int = 15
    distance: float = 0.1
    pca: int = 50
    seed: int = 0
    name: str = "UMAP"

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        try:
            import umap
        except ImportError:
            raise UserError(
                "embedding=umap needs the extra `umap`: pip install 'dgn[umap]'; tsne needs nothing"
            ) from None
        codes = _reduced(codes, self.pca, self.seed)
        neighbours = min(self.neighbours, len(codes) - 1)
        method = umap.UMAP(n_neighbors=neighbours, min_dist=self.distance, random_state=self.seed, n_jobs=1)
        return np.asarray(method.fit_transform(codes))


def on_grid(places: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Moves places to the cells of a grid, each to its own, so that the sum of squared distances is least.

    Args:
        places: (N, 2).
        columns: The number of columns; None: that of the smallest square.

    Returns:
        (N, 2), whole numbers: row and column. The second axis of `places` points up, and rows go down.
    """
    from scipy.optimize import linear_sum_assignment

    columns = columns or int(np.ceil(len(places) ** 0.5))
    rows = -(-len(places) // columns)
    low, span = places.min(0), np.maximum(places.max(0) - places.min(0), 1e-12)
    unit = (places - low) / span
    across, up = np.meshgrid((np.arange(columns) + 0.5) / columns, 1 - (np.arange(rows) + 0.5) / rows)
    cells = np.stack([across.ravel(), up.ravel()], 1)
    cost = ((unit[:, None] - cells[None]) ** 2).sum(2)
    taken = linear_sum_assignment(cost)[1]
    return np.stack([taken // columns, taken % columns], 1)


def _reduced(codes: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    if len(codes) < 5:
        raise UserError(f"an embedding of {len(codes)} images shows nothing; give at least 5")
    count = min(count, *codes.shape)
    return PCA(count, random_state=seed).fit_transform(codes) if codes.shape[1] > count else codes
