"""Whether preferred images show each kind of thing that a class is made of, where the kinds are known.

A facet judge is a logistic regression on a judge's features, fitted to real images of one class whose facets are
known, and only to be trusted as far as it tells the facets of held-out real images apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dgn.data.batches import Images
from dgn.data.datamodule import to_image_space
from dgn.data.doodles import CLASSES, FACETS, Doodles
from dgn.errors import UserError
from dgn.metrics.features import features_of
from dgn.metrics.recognition import judge_images
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class FacetJudge:
    """Tells the facets of one class apart. facets: their names. accuracy: on held-out real images, None where there
    were none. judge, layer: whose features it reads."""

    judge: FeatureNet
    layer: str | None
    model: Pipeline
    facets: tuple[str, ...]
    accuracy: float | None

    def probabilities(self, images: Images) -> np.ndarray:
        """images (N, 3, H, W) in image space, or batches of them -> (N, facets)."""
        return self.model.predict_proba(features_of(self.judge, images, self.layer).double().numpy())

    def __call__(self, images: Images) -> list[str]:
        """The facet that each image shows, given that it shows the class."""
        return [self.facets[i] for i in self.probabilities(images).argmax(1)]


def fit_facet_judge(
    judge: FeatureNet,
    images: Images,
    facets: Sequence[str],
    held_out: tuple[Images, Sequence[str]] | None = None,
    layer: str | None = None,
) -> FacetJudge:
    """images (N, 3, H, W) of one class and the facet of each -> its facet judge; held_out: others, to test it on.
    Raises UserError where there are not two facets to tell apart."""
    if len(set(facets)) < 2:
        raise UserError(f"{len(facets)} images of {len(set(facets))} facet: a facet judge needs images of at least two")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features_of(judge, images, layer).double().numpy(), list(facets))
    found = FacetJudge(judge, layer, model, tuple(model.classes_.tolist()), None)
    if held_out is None:
        return found
    right = np.mean([a == b for a, b in zip(found(held_out[0]), held_out[1], strict=True)])
    return FacetJudge(judge, layer, model, found.facets, float(right))


@dataclass(frozen=True)
class Coverage:
    """shown: {class: {facet: the places of the preferred images recognized as that facet, likeliest first}}.
    accuracy: {class: of its facet judge on held-out real images}."""

    shown: dict[str, dict[str, list[int]]]
    accuracy: dict[str, float | None]

    @property
    def complete(self) -> list[str]:
        """The classes of which every facet has a preferred image."""
        return [name for name, facets in self.shown.items() if all(facets.values())]


def facet_coverage(
    judge: FeatureNet, experts: Mapping[str, FacetJudge], images: Tensor, classes: Sequence[str]
) -> Coverage:
    """Which facets preferred images (N, 3, H, W) of the classes named show. An image counts for a facet where the
    judge sees its class first and the class's facet judge that facet; a class without facet judge is one facet."""
    verdicts = judge_images(judge, images, [(name,) for name in classes])
    shown: dict[str, dict[str, list[int]]] = {}
    for name in dict.fromkeys(classes):
        expert = experts.get(name)
        places = [i for i, c in enumerate(classes) if c == name and verdicts[i].top(1)]
        if expert is None:
            shown[name] = {name: places}
            continue
        chances = expert.probabilities(images[places]) if places else np.empty((0, len(expert.facets)))
        shown[name] = {
            facet: [places[row] for row in np.argsort(-chances[:, column]) if chances[row].argmax() == column]
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
    """A facet judge for each class of doodles that has more than one facet, fitted to `per_class` training doodles
    and tested on `held_out` test doodles."""
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
    """The first `count` doodles of a class of a split: images (count, 3, H, W) in image space, and their facets."""
    label = CLASSES.index(name)
    data = Doodles(split, image_size, count * len(CLASSES), world)
    places = range(label, len(data), len(CLASSES))  # labels go round
    images = torch.stack([data[i][0] for i in places])
    facets = data.facets()
    return to_image_space(images), [facets[i] for i in places]
