"""Whether preferred images show each facet of a class, for classes whose facets are known.

A facet judge is a logistic regression on a judge's features, fitted to real images of one class with known facets.
Its accuracy on held-out real images shows how reliable it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgn.data.batches import Images
from dgn.data.datamodule import to_image_space
from dgn.data.doodles import CLASSES, FACETS, Doodles
from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.metrics.features import extract_features
from dgn.metrics.recognition import judge_images
from dgn.networks.featurenet import FeatureNet

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class FacetJudge:
    """A classifier of the facets of one class.

    Attributes:
        judge: the network whose features it reads.
        layer: the layer of the features; None: the penultimate layer.
        model: the fitted classifier.
        facets: the names of the facets.
        accuracy: on held-out real images; None if there were none.
    """

    judge: FeatureNet
    layer: str | None
    model: "Pipeline"
    facets: tuple[str, ...]
    accuracy: float | None

    def probabilities(self, images: Images) -> np.ndarray:
        """Returns facet probabilities (N, facets) of images (N, 3, H, W) in image space, or batches of them."""
        return self.model.predict_proba(extract_features(self.judge, images, self.layer).double().numpy())

    def __call__(self, images: Images) -> list[str]:
        """Returns the most likely facet of each image, given that it shows the class."""
        return [self.facets[i] for i in self.probabilities(images).argmax(1)]


def fit_facet_judge(
    judge: FeatureNet,
    images: Images,
    facets: Sequence[str],
    held_out: tuple[Images, Sequence[str]] | None = None,
    layer: str | None = None,
) -> FacetJudge:
    """Fits a facet judge to real images of one class.

    Args:
        judge: the network whose features are used.
        images: (N, 3, H, W) of one class, in image space, or batches of them.
        facets: the facet of each image.
        held_out: other images and their facets, to measure the accuracy on.
        layer: the layer of the features; None: the penultimate layer.

    Raises:
        UserError: if there are fewer than two facets.
    """
    from sklearn.linear_model import LogisticRegression  # here: it takes a second, and most commands need none of it
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(facets)) < 2:
        raise UserError(f"{len(facets)} images of {len(set(facets))} facet: a facet judge needs images of at least two")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(extract_features(judge, images, layer).double().numpy(), list(facets))
    facet_judge = FacetJudge(judge, layer, model, tuple(model.classes_.tolist()), None)
    if held_out is None:
        return facet_judge
    right = np.mean([a == b for a, b in zip(facet_judge(held_out[0]), held_out[1], strict=True)])
    return FacetJudge(judge, layer, model, facet_judge.facets, float(right))


@dataclass(frozen=True)
class Coverage:
    """Which facets a set of preferred images shows.

    Attributes:
        shown: {class: {facet: indices of the preferred images recognized as that facet, most likely first}}.
        accuracy: {class: accuracy of its facet judge on held-out real images}.
    """

    shown: dict[str, dict[str, list[int]]]
    accuracy: dict[str, float | None]

    @property
    def complete(self) -> list[str]:
        """The classes for which every facet has a preferred image."""
        return [name for name, facets in self.shown.items() if all(facets.values())]


def facet_coverage(
    judge: FeatureNet, experts: Mapping[str, FacetJudge], images: Any, classes: Sequence[str]
) -> Coverage:
    """Returns which facets of their classes preferred images show.

    An image counts for a facet if the judge's top label is its class and the class's facet judge predicts that facet.
    A class without a facet judge has a single facet.

    Args:
        judge: the network that recognizes the classes.
        experts: the facet judge of each class.
        images: (N, 3, H, W) in image space, or anything that `as_images` accepts.
        classes: the class of each image.
    """
    images = as_images(images)
    verdicts = judge_images(judge, images, [(name,) for name in classes])
    shown: dict[str, dict[str, list[int]]] = {}
    for name in dict.fromkeys(classes):
        expert = experts.get(name)
        rows = [i for i, c in enumerate(classes) if c == name and verdicts[i].top(1)]
        if expert is None:
            shown[name] = {name: rows}
            continue
        chances = expert.probabilities(images[rows]) if rows else np.empty((0, len(expert.facets)))
        shown[name] = {
            facet: [rows[row] for row in np.argsort(-chances[:, column]) if chances[row].argmax() == column]
            for column, facet in enumerate(expert.facets)
        }
    return Coverage(shown, {name: experts[name].accuracy for name in shown if name in experts})


def doodle_facet_judges(
    judge: FeatureNet,
    classes: Sequence[str] = CLASSES,
    image_size: int = 64,
    world: int = 0,
    per_class: int = 200,
    held_out: int = 100,
) -> dict[str, FacetJudge]:
    """Returns a facet judge for each class of doodles that has more than one facet.

    Each is fitted to `per_class` training doodles and tested on `held_out` test doodles.
    """
    wrong = [name for name in classes if name not in CLASSES]
    if wrong:
        raise UserError(f"doodles have no class {wrong[0]!r}; classes: {', '.join(CLASSES)}")
    several = [name for name in classes if len(FACETS[name]) > 1]
    return {
        name: fit_facet_judge(
            judge,
            *labelled_doodles(name, "train", per_class, image_size, world),
            labelled_doodles(name, "test", held_out, image_size, world),
        )
        for name in several
    }


def labelled_doodles(
    name: str, split: str, count: int, image_size: int = 64, world: int = 0
) -> tuple[Tensor, list[str]]:
    """Returns the first `count` doodles of a class in a split: images (count, 3, H, W) and their facets."""
    label = CLASSES.index(name)
    data = Doodles(split, image_size, count * len(CLASSES), world)
    indices = range(label, len(data), len(CLASSES))  # labels cycle through the classes
    images = torch.stack([data[i][0] for i in indices])
    facets = data.facets()
    return to_image_space(images), [facets[i] for i in indices]
