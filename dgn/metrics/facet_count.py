"""The number of facets of a unit: of clusters among the image parts that excite it, by the gap statistic."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

DIMENSIONS = 8
_REFERENCES = 5


def facet_count(features: Tensor, most: int = 6, seed: int = 0) -> int:
    """Returns the number of clusters among features (N, d), 1 to `most` (Tibshirani, Walther & Hastie 2001).

    Gap(k) is the mean log within-cluster sum of squares of data drawn uniformly in the box of the principal components,
    minus that of the data. The result is the smallest k whose gap is within a standard error of the largest gap. (The
    paper's rule, the first k with Gap(k) >= Gap(k + 1) - s(k + 1), finds one cluster where three are equally far.)

    Args:
        features: (N, d).
        most: the largest number.
        seed: of the clustering and of the uniform data.
    """
    vectors = features.flatten(1).double().numpy()
    most = min(most, len(vectors) - 1)
    if most < 2 or (vectors == vectors[0]).all():
        return 1
    components = min(DIMENSIONS, len(vectors) - 1, vectors.shape[1])
    data = PCA(components, random_state=seed).fit_transform(vectors)
    low, high = data.min(0), data.max(0)
    random = np.random.default_rng(seed)
    uniform = [random.uniform(low, high, data.shape) for _ in range(_REFERENCES)]
    gaps, spreads = [], []
    for k in range(1, most + 1):
        logs = np.array([_log_within(reference, k, seed) for reference in uniform])
        gaps.append(logs.mean() - _log_within(data, k, seed))
        spreads.append(logs.std() * (1 + 1 / _REFERENCES) ** 0.5)
    best = int(np.argmax(gaps))
    return 1 + next(k for k, gap in enumerate(gaps) if gap >= gaps[best] - spreads[best])


def _log_within(data: np.ndarray, k: int, seed: int) -> float:
    return float(np.log(KMeans(k, n_init=3, random_state=seed).fit(data).inertia_ + 1e-12))
