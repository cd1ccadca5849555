"""Path similarity: do preferred images take the same path through the network as real images?

Geirhos et al. 2024 ("Don't trust your eyes: on the (un)reliability of feature visualizations", section 4): in every
layer, the rank (Spearman) correlation of the layer's activations between preferred images and real images of the same
class, normalized so that 1 is the correlation of two real images of the class and 0 that of real images of different
classes:

    similarity = (r(preferred, same class) - r(same class, other classes))
                 / (r(same class, same class) - r(same class, other classes))

where r is the mean correlation over pairs of different images. An image can excite a unit like a real image of its
class and still have 0 or less here: it then says little about how the network processes real images. For a unit without
a class, the class is the real images that excite it most (`unit_images`).

A layer of more than 32,768 activations is ranked at as many of them, drawn once. The standard error of a correlation
over so many is at most 0.006, and sorting a large map of a hundred units' images takes most of a gallery's time.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.data.batches import BATCH, Images, pick
from dgn.metrics.extremes import extreme_images
from dgn.metrics.neighbours import code_spaces
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.runs.progress import announced


@dataclass(frozen=True)
class RealOfUnit:
    """Real images of one unit.

    Attributes:
        same: (S, 3, H, W), S at least 2: images of the unit's class, or those that excite it most.
        other: (O, 3, H, W): images of other classes.
    """

    same: Tensor
    other: Tensor


@dataclass(frozen=True)
class PathSimilarity:
    """The path similarity of preferred images of U units.

    Attributes:
        units: the units' expressions.
        layers: L layers, in order of depth.
        preferred: (U, L), the mean correlation between preferred images and real images of the class; NaN for a unit
            without preferred images.
        same: (U, L), between two real images of the class.
        other: (U, L), between real images of the class and of others.
        preferred_other: (U, L), between preferred images and real images of other classes.
    """

    units: tuple[str, ...]
    layers: tuple[str, ...]
    preferred: np.ndarray
    same: np.ndarray
    other: np.ndarray
    preferred_other: np.ndarray

    @property
    def curve(self) -> np.ndarray:
        """The normalized similarity of each layer over all units, (L,): the ratio of the mean differences.

        NaN for a layer in which real images of a class are no more alike than others.
        """
        return np.array([_ratio(*self._differences(slice(None), layer)) for layer in range(len(self.layers))])

    @property
    def per_unit(self) -> np.ndarray:
        """One figure for each unit, (U,): the ratio of the differences' sums over layers.

        Layers count in proportion to how much more alike real images of the class are than others.
        """
        return np.array([_ratio(*self._differences(unit, slice(None))) for unit in range(len(self.units))])

    @property
    def class_share(self) -> np.ndarray:
        """How much of the path is the class's, (U,): 1 for real images of the class, about 0 for any others.

        It is (r(preferred, same class) - r(preferred, other classes)) over (r(same class, same class) - r(same class,
        other classes)), sums over layers. What all images of a search share, and no real image does, cancels here.
        """
        above, whole = self.preferred - self.preferred_other, self.same - self.other
        return np.array([_ratio(above[unit], whole[unit]) for unit in range(len(self.units))])

    def of_unit(self, unit: str) -> np.ndarray:
        """Returns the normalized similarity of one unit in each layer, (L,)."""
        row = self.units.index(unit)
        return np.array([_ratio(*self._differences(row, layer)) for layer in range(len(self.layers))])

    def _differences(self, unit: int | slice, layer: int | slice) -> tuple[np.ndarray, np.ndarray]:
        at = (unit, layer)
        return self.preferred[at] - self.other[at], self.same[at] - self.other[at]


@torch.no_grad()
@full_precision
def path_similarity(
    target: FeatureNet,
    methods: Mapping[str, Mapping[str, Tensor]],
    real: Mapping[str, RealOfUnit],
    layers: Sequence[str] | None = None,
) -> dict[str, PathSimilarity]:
    """Measures the path similarity of several methods' images; real images are read once for all of them.

    Args:
        target: the network whose units were maximized.
        methods: {method: {unit's expression: (P, 3, H, W) in image space}}.
        real: {unit's expression: its real images}. A unit with fewer than two real images of its class, or none of
            others, has no figures.
        layers: the layers; None: the network's main layers (`neighbours.code_spaces`).

    Returns:
        {method: its path similarity}, for all units of `real`.
    """
    layers = list(layers) if layers is not None else code_spaces(target)
    preferred, unlike = ({name: np.full((len(real), len(layers)), np.nan) for name in methods} for _ in range(2))
    same, other = np.full((2, len(real), len(layers)), np.nan)
    units = announced(
        real.items(), len(real), "Comparing the layers' activations, for path similarity", "fewer with units="
    )
    for row, (unit, images) in enumerate(units):
        if len(images.same) < 2 or not len(images.other):
            continue
        shown = {name: of_units[unit] for name, of_units in methods.items() if len(of_units.get(unit, ()))}
        sets = [_ranks(target, layers, part) for part in (images.same, images.other, *shown.values())]
        for column, layer in enumerate(layers):
            mine, theirs, *own = (ranks[layer] for ranks in sets)
            between = mine @ mine.T
            same[row, column] = (between.sum() - np.trace(between)) / (between.size - len(between))
            other[row, column] = (mine @ theirs.T).mean()
            for name, ranks in zip(shown, own, strict=True):
                preferred[name][row, column] = (ranks @ mine.T).mean()
                unlike[name][row, column] = (ranks @ theirs.T).mean()
    return {
        name: PathSimilarity(tuple(real), tuple(layers), preferred[name], same, other, unlike[name]) for name in methods
    }


def unit_images(
    target: FeatureNet,
    objectives: Sequence[Objective],
    real: Callable[[], Images],
    labels: Sequence[int] = (),
    classes: Mapping[str, int] | None = None,
    count: int = 16,
    seed: int = 0,
) -> dict[str, RealOfUnit]:
    """Returns the real images of each unit, at most `count` of its class and as many of others.

    For a unit with a class they are the first of its class, and others drawn at random; for any other objective those
    that excite it most, and others drawn at random.

    Args:
        target: the network.
        objectives: the units, or any other objectives.
        real: returns the stream of real images from the first, each time it is called.
        labels: the class of each image of the stream; empty if it has none.
        classes: {unit's expression: its class}, of the units that have one.
        count: the number of images of each kind.
        seed: seeds the draw.
    """
    extremes = extreme_images(target, objectives, real(), count, sample=2 * count + 16, seed=seed)
    classes = classes or {}
    places: dict[str, tuple[list[int], list[int]]] = {}
    for row, objective in enumerate(objectives):
        label = classes.get(str(objective))
        same = extremes.strongest[row, : int(extremes.count[row])].tolist()
        of_class = {i for i, own in enumerate(labels) if own == label} if label is not None else set()
        if of_class:
            same = sorted(of_class)[:count]
        excluded = of_class | set(same)
        other = [i for i in extremes.sample.tolist() if i not in excluded][:count]
        places[str(objective)] = same, other
    order = sorted({i for pair in places.values() for part in pair for i in part})
    rows = {index: row for row, index in enumerate(order)}
    images = pick(real(), order)
    return {unit: RealOfUnit(*(images[[rows[i] for i in part]] for part in pair)) for unit, pair in places.items()}


def _ranks(target: FeatureNet, layers: Sequence[str], images: Tensor) -> dict[str, np.ndarray]:
    """Returns the ranks of each layer's activations in each image, centred and of length 1, (N, activations).

    The inner product of two rows is their Spearman correlation; 0 if either has the same activation everywhere.
    """
    from scipy.stats import rankdata  # here, as importing it takes a second

    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for batch in images.split(BATCH):
        for layer, activations in target(batch.to(target.device), layers).items():
            ranks = rankdata(_sampled(activations.flatten(1)).cpu().numpy(), axis=1)
            ranks -= ranks.mean(1, keepdims=True)
            length = np.linalg.norm(ranks, axis=1, keepdims=True)
            parts[layer].append(ranks / np.where(length > 0, length, 1))
    return {layer: np.concatenate(ranks) for layer, ranks in parts.items()}


def _sampled(activations: Tensor) -> Tensor:
    """Returns (N, activations), or at most `_RANKED` of them: the same for all images of a layer of this size."""
    size = activations.shape[1]
    return activations if size <= _RANKED else activations[:, _places(size).to(activations.device)]


@functools.cache
def _places(size: int) -> Tensor:
    """Returns the places that are ranked in a layer of this size, in order; drawn once, not for each batch."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(size))[:_RANKED].sort().values


_RANKED = 32_768
"""The activations of a layer that are ranked, at most."""
_ALIKE = 0.01
"""Mean difference of correlations at or below which real images of a class are no more alike than others: a ratio to it
would be noise, as in the layers of a network with random weights."""


def _ratio(above: np.ndarray, whole: np.ndarray) -> float:
    """Returns the ratio of the means over the entries that are known; NaN if the whole is within noise of 0."""
    known = ~np.isnan(above + whole)
    if not known.any() or (mean := float(np.asarray(whole)[known].mean())) <= _ALIKE:
        return float("nan")
    return float(np.asarray(above)[known].mean()) / mean
