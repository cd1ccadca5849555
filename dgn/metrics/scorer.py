"""All metrics of preferred images, computed by the same code for methods and for real images."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.am.maximize import Preferred, objective_values
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Unit
from dgn.am.objectives.unit_names import plain_label
from dgn.data.batches import BATCH, pick
from dgn.errors import UserError
from dgn.metrics.diversity import Space, diversity, features, mean_distance, pixels
from dgn.metrics.features import extract_features
from dgn.metrics.naturalness import naturalness
from dgn.metrics.neighbours import Nearest, nearest
from dgn.metrics.percentile import percentiles
from dgn.metrics.recognition import Verdict, judge_images
from dgn.metrics.scores import REAL, Measured
from dgn.metrics.training_images import RealImages, Training, TrainingStream
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_independent
from dgn.runs.progress import announced

log = logging.getLogger(__name__)

PER_CLASS, OF_ALL = 16, 64
"""Numbers of real images, of one class and of all classes, whose mean distance is the unit of diversity."""


@dataclass(frozen=True)
class ImageScores:
    """Scores of each of N images. What could not be measured is None or empty.

    Attributes:
        percentiles: the percentile of each activation among real images, 0 to 100.
        verdicts: the judge's verdict on each image.
        nearest: {"pixels" or layer: the nearest real images}, as indices in the stream of real images.
    """

    percentiles: list[float] | None
    verdicts: list[Verdict] | None
    nearest: dict[str, Nearest]


class Scorer:
    """Measures preferred images of one target.

    Args:
        target: the network whose units were maximized.
        judge: classifies the images; None: recognition, naturalness and diversity in features are not measured.
        real: real images to compare with; None: metrics that need them are not measured.
        classes: the names of the real images' labels.
        held_out: other real images, for the reference row.
        layers: the target's layers in whose codes the nearest real image is searched, in addition to pixels.
        training: where it is searched; by default among `real`.

    Raises:
        UserError: if the judge shares weights with the target.
    """

    def __init__(
        self,
        target: FeatureNet,
        judge: FeatureNet | None,
        real: RealImages | None,
        classes: Sequence[str] = (),
        held_out: RealImages | None = None,
        layers: Sequence[str] = (),
        training: Training | None = None,
    ) -> None:
        if judge is not None:
            check_independent(judge, target)
        self.target, self.judge, self.real, self.held_out = target, judge, real, held_out
        self.classes, self.layers = tuple(classes), list(layers)
        self.training = TrainingStream(real) if training is None and real is not None else training
        self._activations: dict[str, Tensor] = {}
        self._real_distances: dict[int | None, dict[str, float]] = {}
        self._real_features: Tensor | None = None
        self._real_labels: list[int] = []
        if judge is not None and real is not None:
            batches = [(extract_features(judge, images), labels) for images, labels in real()]
            self._real_features = torch.cat([features for features, _ in batches])
            self._real_labels = torch.cat([labels for _, labels in batches]).tolist()

    def measure(
        self,
        preferred: Preferred,
        method: str,
        prior: str = "",
        steps: int | None = None,
        seconds: float | None = None,
        near: dict[str, Nearest] | None = None,
    ) -> tuple[Measured, ImageScores]:
        """Returns the table's row for the images of one method, and the scores of each image.

        Images of searches without a result (`Preferred.found`) are left out of the row.

        Args:
            preferred: the images.
            method: the method's name.
            prior: the prior's name; "" if the method has none.
            steps: steps per search, to be listed in the row.
            seconds: seconds per image, to be listed in the row.
            near: the nearest real images, if `nearest_real` was already called for several sets at once.
        """
        images, objectives = preferred.images, preferred.objectives
        near = self.nearest_real([preferred])[0] if near is None else near
        scores = ImageScores(self._percentiles(preferred), self._verdicts(images, objectives), near)
        units = tuple(dict.fromkeys(str(o) for o in objectives))
        column = {unit: i for i, unit in enumerate(units)}
        rows = np.array([column[str(o)] for o in objectives])

        def mean(values: Sequence[float | None]) -> np.ndarray:
            pairs = zip(values, preferred.found, strict=True)
            measurements = np.array([np.nan if v is None or not valid else float(v) for v, valid in pairs])
            # a unit without any value gets NaN
            measured = ~np.isnan(measurements)
            total, count = (np.bincount(rows[measured], w, len(units)) for w in (measurements[measured], None))
            return np.where(count > 0, total / np.maximum(count, 1), np.nan)

        per_unit = {"activation": mean(preferred.activations.tolist())}
        if preferred.start_activations is not None:
            per_unit["gain"] = mean((preferred.activations - preferred.start_activations).tolist())
        if scores.percentiles is not None:
            per_unit["percentile"] = mean(scores.percentiles)
        if scores.verdicts is not None:
            per_unit["top1"] = mean([v.top(1) for v in scores.verdicts])
            per_unit["top5"] = mean([v.top(5) for v in scores.verdicts])
            per_unit["probability"] = mean([v.wanted for v in scores.verdicts])
        results = [i for i, has_result in enumerate(preferred.found) if has_result]
        shown, shown_objectives = images[results], [objectives[i] for i in results]
        per_unit |= self._diversity(shown, shown_objectives, units)
        per_unit |= {f"nearest_{space}": mean(n.distances.tolist()) for space, n in scores.nearest.items()}
        of_set, plain = self._naturalness(shown, shown_objectives)
        plain |= {k: v for k, v in (("steps", steps), ("seconds", seconds)) if v is not None}
        return Measured(method, prior, units, len(images), per_unit, of_set, plain), scores

    def nearest_real(self, sets: Sequence[Preferred]) -> list[dict[str, Nearest]]:
        """Returns the nearest real images of several sets of preferred images; {} for each without real images.

        Images of a class unit are compared with real images of its class, others with those of `real`. The real images
        are read once for all sets (`dgn.metrics.neighbours.nearest`).
        """
        if self.training is None:
            return [{} for _ in sets]
        classes = [[self._class_index(o) for o in preferred.objectives] for preferred in sets]
        wanted = {label for labels in classes for label in labels}
        real = self.training.of_labels(wanted)
        images = [preferred.images for preferred in sets]
        return nearest(images, real, self.target, self.layers, classes, self.training.count)

    def reference(self, objectives: Sequence[Objective], count: int) -> tuple[Measured, ImageScores, Preferred]:
        """Returns the reference row: the images of `real_instead`, scored like preferred images."""
        preferred = self.real_instead(objectives, count)
        return *self.measure(preferred, REAL), preferred

    def real_instead(self, objectives: Sequence[Objective], count: int) -> Preferred:
        """Returns `count` held-out real images for each objective, in the form of preferred images.

        For a class unit they are images of its class, for any other objective those that excite it most.

        Raises:
            UserError: if there are no held-out images, or none of the units' classes.
        """
        if self.held_out is None:
            raise UserError("no held-out real images to score as the reference row; give reference images")
        objectives = list(dict.fromkeys(objectives))
        values = objective_values(self.target, objectives, _images(self.held_out))
        labels = torch.cat([labels for _, labels in self.held_out()])
        chosen: list[tuple[Objective, int, int]] = []  # objective, number of the image, its index in the stream
        for column, objective in enumerate(objectives):
            label = self._class_index(objective)
            order = values[:, column].argsort(descending=True, stable=True)
            indices = order if label is None else torch.nonzero(labels == label).flatten()
            chosen += [(objective, i, index) for i, index in enumerate(indices[:count].tolist())]
        if not chosen:
            raise UserError(f"no real image of the units' classes among {len(labels)} held-out ones; give more of them")
        activations = torch.stack([values[index, objectives.index(o)] for o, _, index in chosen])
        images = pick(_images(self.held_out), [index for _, _, index in chosen])
        return Preferred(
            images=images,
            activations=activations,
            curve=torch.empty(0, len(images)),
            objectives=[o for o, _, _ in chosen],
            seeds=[seed for _, seed, _ in chosen],
        )

    def _class_index(self, objective: Objective) -> int | None:
        return class_index(objective, self.classes)

    def _percentiles(self, preferred: Preferred) -> list[float] | None:
        if self.real is None:
            return None
        names = [str(o) for o in preferred.objectives]
        missing = {n: o for n, o in zip(names, preferred.objectives, strict=True) if n not in self._activations}
        if missing:
            values = objective_values(self.target, list(missing.values()), _images(self.real))
            self._activations |= dict(zip(missing, values.T, strict=True))
        return percentiles(preferred.activations, torch.stack([self._activations[name] for name in names], 1))

    def _verdicts(self, images: Tensor, objectives: Sequence[Objective]) -> list[Verdict] | None:
        if self.judge is None:
            return None
        judged = _in_batches(images, "Judging images, for recognition")
        return judge_images(self.judge, judged, [o.wanted for o in objectives])

    def _naturalness(
        self, images: Tensor, objectives: Sequence[Objective]
    ) -> tuple[dict[str, tuple[float, np.ndarray]], dict[str, float]]:
        """Compares class units' images with real images of their classes; if no unit has a class, all with all.

        Classes without real images are left out.
        """
        if self._real_features is None or self.judge is None:
            return {}, {}
        labels = [self._class_index(o) for o in objectives]
        rows = [i for i, label in enumerate(labels) if label is not None]
        matched = [i for i in rows if labels[i] in set(self._real_labels)]
        if len(matched) < len(rows):
            units = len({labels[i] for i in rows} - set(self._real_labels))
            log.info(
                "No real image of %d classes among %d: they are left out of Frechet distance and KID",
                units,
                len(self._real_labels),
            )
        rows = matched if rows else list(range(len(labels)))
        if len(rows) < 2:
            return {}, {}
        result = naturalness(
            extract_features(self.judge, _in_batches(images[rows], "Judging images, for distances")),
            [str(objectives[i]) for i in rows],
            [labels[i] for i in rows],
            self._real_features,
            self._real_labels,
        )
        figures = {"frechet": (result.frechet, result.frechet_folds), "kid": (result.kid, result.kid_folds)}
        return figures, {"frechet_images": result.images, "frechet_real": result.real}

    def _diversity(
        self, images: Tensor, objectives: Sequence[Objective], units: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Returns the mean distance between two images of each unit, relative to two real images of its class.

        For a unit without a class, the real images are of any class. 1 means that the seeds differ as much as real
        images do.
        """
        if self.real is None or not objectives:
            return {}
        groups = [str(o) for o in objectives]
        label = {str(o): self._class_index(o) for o in objectives}
        spaces = {"diversity_pixels": pixels} | ({"diversity": features(self.judge)} if self.judge else {})
        distances = {name: diversity(images, groups, space) for name, space in spaces.items()}
        real = self._real_diversity(set(label.values()), spaces)

        def relative(name: str, unit: str) -> float:
            return distances[name][unit] / real[label[unit]][name] if unit in label else float("nan")

        return {name: np.array([relative(name, unit) for unit in units]) for name in spaces}

    def _real_diversity(self, labels: set[int | None], spaces: dict[str, Space]) -> dict[int | None, dict[str, float]]:
        """Returns the mean distance between real images of each class; of any class for None."""
        counts = {label: OF_ALL if label is None else PER_CLASS for label in labels - self._real_distances.keys()}
        samples: dict[int | None, list[Tensor]] = {label: [] for label in counts}
        for images, classes in self.real() if counts and self.real is not None else ():
            for image, image_label in zip(images, classes.tolist(), strict=True):
                for label in (image_label, None):
                    if label in samples and len(samples[label]) < counts[label]:
                        samples[label].append(image)
            if all(len(samples[label]) == count for label, count in counts.items()):
                break
        for label, chosen in samples.items():
            vectors = {name: space(torch.stack(chosen)) if chosen else None for name, space in spaces.items()}
            self._real_distances[label] = {
                n: mean_distance(v) if v is not None else float("nan") for n, v in vectors.items()
            }
        return self._real_distances


def _in_batches(images: Tensor, what: str) -> Iterator[Tensor]:
    return announced(images.split(BATCH), len(images), what, "judge=none leaves it out; fewer units= or seeds=", BATCH)


def _images(real: RealImages) -> Iterator[Tensor]:
    return (images for images, _ in real())


def class_index(objective: Objective, classes: Sequence[str]) -> int | None:
    """Returns the class label of an objective, if it is a single unit that is named like a class; else None."""
    if len(objective.terms) != 1 or len(objective.wanted) != 1 or not isinstance(objective.terms[0][1], Unit):
        return None
    names = {plain_label(name): i for i, name in enumerate(classes)}
    return names.get(plain_label(objective.wanted[0]))
