"""A classifier of kinds of images, such as whole and shuffled ones, on a network's features at coarse positions.

Features of several layers are averaged over a grid of 4 x 4 positions, so that the classifier sees what is where, and
fine detail as well as content. It is a logistic regression, whose accuracy on held-out images shows how reliable it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dgn.devices import moved
from dgn.networks.featurenet import FeatureNet

GRID = 4
_COMPONENTS = 64


@dataclass(frozen=True)
class KindJudge:
    """Tells kinds of images apart.

    Attributes:
        net: the network whose features it reads.
        model: the classifier.
        kinds: the kinds.
        accuracy: on held-out images, with as many of each kind.
    """

    net: FeatureNet
    model: Pipeline
    kinds: tuple[str, ...]
    accuracy: float

    def probabilities(self, images: Tensor) -> np.ndarray:
        """Returns the probability of each kind, (N, kinds), for images (N, 3, H, W) in image space."""
        return self.model.predict_proba(_features(self.net, images))

    def probability(self, images: Tensor, kind: str) -> np.ndarray:
        """Returns the probability of one kind, (N,)."""
        return self.probabilities(images)[:, self.kinds.index(kind)]

    def __call__(self, images: Tensor) -> list[str]:
        """Returns the most probable kind of each image."""
        return [self.kinds[i] for i in self.probabilities(images).argmax(1)]


def fit_kind_judge(
    net: FeatureNet, images: Mapping[str, Tensor], held_out: Mapping[str, Tensor], seed: int = 0
) -> KindJudge:
    """Fits a classifier of kinds.

    Args:
        net: the network whose features are used; it should not be the one whose units are shown.
        images: {kind: (N, 3, H, W)}.
        held_out: other images of each kind, for the accuracy.
        seed: of the classifier.
    """
    vectors = np.concatenate([_features(net, of_kind) for of_kind in images.values()])
    labels = [kind for kind, of_kind in images.items() for _ in of_kind]
    components = min(_COMPONENTS, len(vectors) - 1, vectors.shape[1])
    model = make_pipeline(
        StandardScaler(), PCA(components, random_state=seed), LogisticRegression(C=0.1, max_iter=2000)
    )
    model.fit(vectors, labels)
    judge = KindJudge(net, model, tuple(model.classes_.tolist()), float("nan"))
    right = [found == kind for kind, of_kind in held_out.items() for found in judge(of_kind)]
    return KindJudge(net, model, judge.kinds, float(np.mean(right)))


@torch.no_grad()
def _features(net: FeatureNet, images: Tensor) -> np.ndarray:
    layers = net.several_layers()
    parts = []
    for batch in images.split(64):
        activations = net(moved(batch, net.device), layers)
        maps = [a if a.ndim == 4 else a.flatten(1)[..., None, None] for a in activations.values()]
        pooled = [F.adaptive_avg_pool2d(a.float(), min(GRID, a.shape[-1])).flatten(1) for a in maps]
        parts.append(torch.cat([*pooled, _detail(batch).to(pooled[0])], 1).cpu())
    return torch.cat(parts).double().numpy()


def _detail(images: Tensor) -> Tensor:
    """Returns mean and edge strength of each colour, (N, 6), which colour changes and blur alter."""
    steps = [images.float().diff(dim=axis).abs().mean((2, 3)) for axis in (2, 3)]
    return torch.cat([images.float().mean((2, 3)), steps[0] + steps[1]], 1)
