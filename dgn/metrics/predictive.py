"""Predictive power: do a unit's pictures help to predict which of two real images excites it more?

This is the two-alternative forced choice (2AFC) of Borowski et al. 2021 ("Exemplary natural images explain CNN
activations better than state-of-the-art feature visualization"), answered by a similarity of images instead of a person
(the machine interpretability score, MIS; Zimmermann, Klindt & Brendel 2024). Of two real images (the queries), one is
from the top and one from the bottom of the unit's activations. With s(q, E) the mean similarity of a query to the
explanations, E+ those that excite the unit and E- those that do not,

    Delta(q) = s(q, E+) - s(q, E-)        margin = Delta(q+) - Delta(q-)

The answer is right if the margin is positive (half right if it is 0). The 2AFC accuracy of a unit is its share of right
answers, and its MIS the mean of sigmoid(alpha * margin); chance is 0.5 for both.

The papers' alpha, 0.16, is for DreamSim. Here alpha = 1.702 / d, where d is the standard deviation of the margin
between two real images drawn at random, under the real explanations of the same units. As sigmoid(1.702 x) is nearly
the normal distribution function (to within 0.01), sigmoid(alpha * margin) is the probability that an observer whose
comparison has a random error of that size answers right. All methods have the same alpha.

These figures need no label, so they are there for hidden units too. They depend on the data as well as on the unit: a
random network's units are predicted better than by chance from real images, as they respond to brightness and colour.

The answers are a proxy: they are the similarity's, not a person's (`PROXY`). No published method of synthetic images
beats real images in this task, which are therefore measured too, as the row to compare with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.maximize import Preferred
from dgn.am.objectives.algebra import Objective
from dgn.data.batches import Images
from dgn.devices import double
from dgn.metrics.causal import occlusions
from dgn.metrics.intervals import Estimate, interval
from dgn.metrics.query_images import QueryImages
from dgn.metrics.scores import REAL
from dgn.metrics.similarity import Similarity
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_independent
from dgn.runs.progress import announced

BOTH, STRONGEST = "both", "strongest only"
"""Variants of the task: with explanations of both kinds, or without minimizing images."""

REAL_STRONGEST = f"{REAL}, {STRONGEST}"
"""The reference row of the variant without minimizing images."""

PROXY = (
    "Predicted by a similarity of images, {name}, instead of people: a proxy, that has not been compared with people's "
    "answers on these images. 0.5 is chance."
)
"""What a page says about these figures; `name` is the similarity's."""


@dataclass(frozen=True)
class Explanations:
    """The images that explain one unit.

    Attributes:
        strong: (E, 3, H, W) in image space: images that excite it.
        weak: (E, 3, H, W): images that excite it least, such as those of a search for `-fc8:3`; None if there are none.
    """

    strong: Tensor
    weak: Tensor | None = None


@dataclass(frozen=True)
class Prediction:
    """The answers with one method's explanations.

    Attributes:
        method: the method's name.
        variant: BOTH, or STRONGEST if any unit has no minimizing images: then Delta(q) = s(q, E+) for all units, and
            the row to compare with is REAL_STRONGEST. Real weakest images are not used instead, as they would answer
            for the method.
        units: U units' expressions.
        margins: (U, tasks), Delta(q+) - Delta(q-); NaN where a unit has no task or no explanations.
        alpha: the scale of the margins.
        shown: (U,), the number of maximizing images of each unit; the papers show 9.
    """

    method: str
    variant: str
    units: tuple[str, ...]
    margins: np.ndarray
    alpha: float
    shown: np.ndarray

    @property
    def tasks(self) -> np.ndarray:
        """The number of tasks of each unit that could be answered, (U,)."""
        return (~np.isnan(self.margins)).sum(1)

    @property
    def accuracy(self) -> np.ndarray:
        """The share of right answers of each unit, (U,); NaN without tasks."""
        return _mean(np.where(np.isnan(self.margins), np.nan, (np.sign(self.margins) + 1) / 2))

    @property
    def mis(self) -> np.ndarray:
        """The machine interpretability score of each unit, (U,); NaN without tasks."""
        return _mean(1 / (1 + np.exp(-np.clip(self.alpha * self.margins, -700, 700))))

    @property
    def per_unit(self) -> dict[str, np.ndarray]:
        """The figures as `dgn.metrics.scores.Measured.per_unit` has them."""
        return {"2afc": self.accuracy, "mis": self.mis}

    def estimates(self, resamples: int = 2000, seed: int = 0) -> dict[str, Estimate | None]:
        """Returns each figure's mean over units with its 95% interval."""
        return {
            name: interval(values, share=name == "2afc", resamples=resamples, seed=seed)
            for name, values in self.per_unit.items()
        }

    def minus(self, other: "Prediction", resamples: int = 2000, seed: int = 0) -> dict[str, Estimate | None]:
        """Returns the mean difference of each figure to another method's, paired by unit, with its 95% interval."""
        rows = {unit: row for row, unit in enumerate(other.units)}
        shared = [(row, rows[unit]) for row, unit in enumerate(self.units) if unit in rows]
        mine, theirs = ([pair[i] for pair in shared] for i in range(2))
        return {
            name: interval(values[mine] - other.per_unit[name][theirs], resamples=resamples, seed=seed)
            for name, values in self.per_unit.items()
        }


class PredictivePower:
    """The tasks of a target's units, and what explanations are worth in them.

    A pass over the real images finds the tasks (`QueryImages`); each call of `measure` reads them again.

    Args:
        target: the network.
        objectives: the units, or any other objectives.
        real: returns the stream of real images (N, 3, H, W) in image space, from the first, each time it is called.
        similarity: compares images; it must not share weights with the target.
        tasks: the number of pairs of queries of a unit; about 20 in the papers.
        references: the number of real explanations of each kind; 9 in the papers. With fewer preferred images than
            that, give their number for a fair row of real images.
        seed: seeds the order of images of equal activation.
        causal: asks which of two occlusions of a strong query lowers the unit more (`dgn.metrics.causal`), instead of
            which of two images excites it more.

    Raises:
        UserError: if the similarity shares weights with the target, or there are no real images.
    """

    def __init__(
        self,
        target: FeatureNet,
        objectives: Sequence[Objective],
        real: Callable[[], Images],
        similarity: Similarity,
        tasks: int = 20,
        references: int = 9,
        seed: int = 0,
        causal: bool = False,
    ) -> None:
        check_independent(similarity, target, "similarity")
        self.target, self.similarity, self.tasks, self.causal = target, similarity, tasks, causal
        self.objectives = list(dict.fromkeys(objectives))
        self.queries = QueryImages(target, self.objectives, real, tasks, references, seed)
        self._alphas: dict[str, float] | None = None

    @property
    def units(self) -> tuple[str, ...]:
        """The units' expressions."""
        return self.queries.units

    @property
    def words(self) -> str:
        """A sentence for a page that says what answers, and that it is a proxy."""
        return PROXY.format(name=self.similarity.name)

    def measure(self, methods: Mapping[str, Mapping[str, Explanations]]) -> dict[str, Prediction]:
        """Answers the tasks with each method's explanations, and with real images.

        Args:
            methods: {method: {unit's expression: its explanations}}, see `explanations_by_unit`; units that a method
                lacks have no figures.

        Returns:
            {method: its answers}, followed by those with real images: REAL, and REAL_STRONGEST if any method has no
            minimizing images.
        """
        variants = {name: _variant(of_units) for name, of_units in methods.items()}
        rows = [*methods, REAL, *([REAL_STRONGEST] if STRONGEST in variants.values() else [])]
        variants |= {REAL: BOTH, REAL_STRONGEST: STRONGEST}
        margins = {row: np.full((len(self.units), self.tasks), np.nan) for row in rows}
        shown = {row: np.zeros(len(self.units), dtype=int) for row in rows}
        what = "Comparing real images with explanations, for predictive power (2AFC, MIS)"
        shorter = "fewer with predictive.tasks=N, 0: none"
        for place, images in announced(self.queries.images(), len(self.units), what, shorter):
            real = Explanations(images.strong, images.weak)
            sets = {row: methods[row].get(self.units[place]) if row in methods else real for row in rows}
            pair = images.strong_queries, images.weak_queries
            if self.causal:
                pair = occlusions(self.target, self.objectives[place], images.strong_queries).pair
            count = len(pair[0])
            for row, delta in self._deltas(torch.cat(pair), sets, variants).items():
                margins[row][place, :count] = (delta[:count] - delta[count:]).numpy()
                shown[row][place] = len(sets[row].strong)  # type: ignore[union-attr]
        alphas = self._calibrated()
        return {
            row: Prediction(row, variants[row], self.units, margins[row], alphas[variants[row]], shown[row])
            for row in rows
        }

    def _deltas(
        self, queries: Tensor, sets: Mapping[str, Explanations | None], variants: Mapping[str, str]
    ) -> dict[str, Tensor]:
        """Returns Delta of every query with every set, {row: (Q,)}; the queries' features are computed once."""
        kinds: dict[tuple[str, bool], Tensor] = {}
        for row, images in sets.items():
            if images is not None and len(images.strong):
                kinds[row, True] = images.strong
                if variants[row] == BOTH and images.weak is not None and len(images.weak):
                    kinds[row, False] = images.weak
        if not kinds:
            return {}
        sized = [_sized(images, queries.shape[-2:]) for images in kinds.values()]
        similarity = double(self.similarity(queries, torch.cat(sized)))
        parts = similarity.split([len(images) for images in sized], 1)
        means = {key: part.mean(1) for key, part in zip(kinds, parts, strict=True)}
        needed = {row: [(row, True), *([(row, False)] if variants[row] == BOTH else [])] for row in sets}
        return {
            row: means[row, True] - (means[row, False] if len(keys) == 2 else 0)
            for row, keys in needed.items()
            if all(key in means for key in keys)
        }

    def _calibrated(self) -> dict[str, float]:
        """Returns alpha of each variant; NaN if no unit has real explanations."""
        if self._alphas is None:
            variances: dict[str, list[float]] = {BOTH: [], STRONGEST: []}
            sample = self.queries.sample()
            for _, images in self.queries.images(_CALIBRATION_UNITS):
                sets = dict.fromkeys(variances, Explanations(images.strong, images.weak))
                for variant, delta in self._deltas(sample, sets, {name: name for name in variances}).items():
                    variances[variant].append(float(delta.var()))
            self._alphas = {
                variant: _SCALE / (2 * sum(known) / len(known)) ** 0.5 if sum(known) > 0 else float("nan")
                for variant, known in variances.items()
            }
        return self._alphas


_SCALE = 1.702  # of a logistic function that approximates the normal distribution function (Camilli 1994)
_CALIBRATION_UNITS = 32
"""How many units' explanations the margin's scale is measured with."""


def explanations_by_unit(preferred: Preferred, minimized: Preferred | None = None) -> dict[str, Explanations]:
    """Returns preferred images by unit, for `PredictivePower.measure`; searches without a result are left out.

    A minimizing search that finds no gradient, because its unit is silent already, has nothing lower to find: its image
    counts.

    Args:
        preferred: the images of a method.
        minimized: those of the negated objectives (`-fc8:3`), by the same method; None: there are none.
    """
    strong = _by_unit(preferred, preferred.found, 1.0)
    weak = _by_unit(minimized, minimized.activations.isfinite().tolist(), -1.0) if minimized is not None else {}
    return {unit: Explanations(images, weak.get(unit)) for unit, images in strong.items()}


def _by_unit(preferred: Preferred, valid: Sequence[bool], sign: float) -> dict[str, Tensor]:
    places: dict[str, list[int]] = {}
    for place, (objective, is_valid) in enumerate(zip(preferred.objectives, valid, strict=True)):
        if is_valid:
            places.setdefault(str(sign * objective), []).append(place)
    return {unit: preferred.images[rows] for unit, rows in places.items()}


def _variant(of_units: Mapping[str, Explanations]) -> str:
    complete = all(images.weak is not None and len(images.weak) for images in of_units.values())
    return BOTH if complete else STRONGEST


def _sized(images: Tensor, size: tuple[int, ...]) -> Tensor:
    images = images.float().cpu()
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", antialias=True, align_corners=False)


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, values, 0).sum(1) / np.maximum(count, 1), np.nan)
