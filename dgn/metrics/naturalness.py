"""Naturalness: how far preferred images, as a set, are from real images of the same classes, in a judge's features.

Recognition alone is not enough: pixel ascent fools independent networks too, while the distribution of its images is
far from that of real ones. Frechet distance: Heusel et al. 2017. Kernel distance (KID): Binkowski et al. 2018.

The images of a search are not drawn independently: each unit has the same number of images. Two of them are less often
of one unit than two independent draws would be, which makes the usual estimate of KID too small, below 0 even for real
images. The estimate here takes the units into account and is unbiased.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.devices import double
from dgn.errors import UserError
from dgn.metrics.intervals import jackknife
from dgn.networks.precision import full_precision
from dgn.prior.frechet import frechet

FOLDS = 20
"""Maximum number of groups of the jackknife, as each costs one Frechet distance."""


@dataclass(frozen=True)
class Naturalness:
    """Distances between preferred and real images.

    The Frechet distance of few images is too large (its bias falls as 1/N): compare it with that of as many real
    images. KID is unbiased, and can therefore be below 0.

    Attributes:
        frechet: the squared Frechet distance, 0 for equal distributions.
        kid: the kernel distance, 0 for equal distributions.
        frechet_folds: pseudo-values, for intervals over units (`intervals.interval(folds, value)`).
        kid_folds: the same for KID.
        images: the number of preferred images.
        real: the number of real images.
    """

    frechet: float
    kid: float
    frechet_folds: np.ndarray
    kid_folds: np.ndarray
    images: int
    real: int


@full_precision
def naturalness(
    features: Tensor,
    units: Sequence[Hashable],
    classes: Sequence[Hashable | None],
    real: Tensor,
    real_classes: Sequence[Hashable],
) -> Naturalness:
    """Measures the distances between preferred and real images in a judge's features (`extract_features`).

    If every preferred image has a class, the reference is the real images of these classes, in the same proportions;
    else all real images.

    Args:
        features: (N, d), of preferred images.
        units: the unit of each preferred image.
        classes: the class that each preferred image should show; None for images of hidden units.
        real: (M, d), of real images.
        real_classes: the class of each real image.

    Raises:
        UserError: if a class has no real image, or if there are fewer than two images of either kind.
    """
    matched = all(c is not None for c in classes)
    kept = same_classes(classes, real_classes) if matched else np.arange(len(real))
    if min(len(features), len(kept)) < 2:
        raise UserError(
            f"naturalness needs at least 2 preferred and 2 real images; there are {len(features)} and {len(kept)}: "
            "give more units or seeds, or more reference images"
        )
    fake, genuine = double(features), double(real)[kept]
    # Units of one class are in the same fold as the class's real images.
    names = list(dict.fromkeys(classes if matched else units))
    folds = min(FOLDS, len(names))
    fold = {name: i % folds for i, name in enumerate(names)}
    fake_fold = np.array([fold[name] for name in (classes if matched else units)])
    real_fold = np.array([fold[real_classes[i]] for i in kept.tolist()]) if matched else np.full(len(kept), folds)

    def partial_frechet(groups: np.ndarray) -> float:
        rest = fake[np.isin(fake_fold, groups)], genuine[np.isin(real_fold, np.append(groups, folds))]
        return frechet(*rest) if min(map(len, rest)) > 1 else float("nan")

    strata, real_strata = _numbered(units), _numbered([real_classes[i] if matched else None for i in kept.tolist()])
    kernels = _KernelSums(fake, genuine, strata, real_strata)
    # each unit and each class is in a single fold
    unit_fold = np.array([fake_fold[strata == i][0] for i in range(strata.max() + 1)])
    class_fold = np.array([real_fold[real_strata == i][0] for i in range(real_strata.max() + 1)])

    def partial_kid(groups: np.ndarray) -> float:
        return kernels.kid(np.isin(unit_fold, groups), np.isin(class_fold, np.append(groups, folds)))

    all_folds = np.arange(folds)
    fd, kernel = frechet(fake, genuine), partial_kid(all_folds)
    spread, kernel_spread = jackknife(all_folds, partial_frechet, fd), jackknife(all_folds, partial_kid, kernel)
    return Naturalness(fd, kernel, spread, kernel_spread, len(fake), len(genuine))


def same_classes(classes: Sequence[Hashable], real_classes: Sequence[Hashable]) -> np.ndarray:
    """Returns the indices, in order, of real images that have the preferred images' classes in the same proportions.

    Otherwise a difference in class frequencies would count as unnatural. The first images of each class are used.

    Raises:
        UserError: if a class has no real image.
    """
    counts = {name: sum(c == name for c in classes) for name in dict.fromkeys(classes)}
    indices = {name: [i for i, c in enumerate(real_classes) if c == name] for name in counts}
    missing = [str(name) for name, of_class in indices.items() if not of_class]
    if missing:
        raise UserError(
            f"no real image of {', '.join(missing[:5])} among the {len(real_classes)} reference images; "
            "give more of them (reference_images)"
        )
    share = min(len(indices[name]) / count for name, count in counts.items())
    return np.array(sorted(i for name, count in counts.items() for i in indices[name][: max(1, int(share * count))]))


@full_precision
def kid(
    features: Tensor,
    real: Tensor,
    units: Sequence[Hashable] | None = None,
    real_classes: Sequence[Hashable] | None = None,
) -> float:
    """Returns the kernel distance: the squared maximum mean discrepancy over all pairs, in float64.

    The kernel is (x.y / d + 1)^3.

    Args:
        features: (N, d).
        real: (M, d).
        units: the unit of each image, if the number of images per unit was fixed; the estimate is unbiased if each
            unit has at least two images. None: independent draws, as in the published estimate.
        real_classes: the same for real images and their classes.
    """
    strata = [_numbered(names or [0] * len(x)) for names, x in ((units, features), (real_classes, real))]
    sums = _KernelSums(double(features), double(real), *strata)
    return sums.kid(*(np.full(s.max() + 1, True) for s in strata))


class _KernelSums:
    """Sums of the kernel over pairs of images of each two strata (units, classes), from which KID is computed."""

    def __init__(self, fake: Tensor, real: Tensor, strata: np.ndarray, real_strata: np.ndarray) -> None:
        x, y = (torch.eye(s.max() + 1, dtype=torch.float64)[torch.from_numpy(s)] for s in (strata, real_strata))
        self.fake, self.real = _Pairs(fake, x), _Pairs(real, y)
        self.across = _sums(fake, real, x, y)

    def kid(self, of_fake: np.ndarray, of_real: np.ndarray) -> float:
        """Returns KID over the selected strata of each set, (strata,) bool."""
        n, m = self.fake.counts[of_fake].sum(), self.real.counts[of_real].sum()
        if min(n, m) < 2:
            return float("nan")
        across = self.across[np.ix_(of_fake, of_real)].sum() / (n * m)
        return float(self.fake.mean(of_fake) + self.real.mean(of_real) - 2 * across)


class _Pairs:
    """The kernel over pairs of different images of one set."""

    def __init__(self, images: Tensor, member: Tensor) -> None:
        self.counts = member.sum(0).numpy()
        self.sums = _sums(images, images, member, member)
        diagonal = (images.square().sum(1, keepdim=True) / images.shape[1] + 1) ** 3
        self.diagonal = (member * diagonal).sum(0).numpy()

    def mean(self, strata: np.ndarray) -> float:
        """Returns the mean of the kernel over two independent draws from the mixture of the selected strata.

        The strata's proportions are known; the distribution within each is estimated from its images. No image is
        paired with itself.
        """
        counts, sums, diagonal = self.counts[strata], self.sums[np.ix_(strata, strata)].copy(), self.diagonal[strata]
        total = counts.sum()
        if counts.min() < 2:  # a stratum has no pair: estimate as if images were drawn from all strata together
            return (sums.sum() - diagonal.sum()) / (total * (total - 1))
        np.fill_diagonal(sums, (sums.diagonal() - diagonal) * counts / (counts - 1))
        return sums.sum() / total**2


def _sums(a: Tensor, b: Tensor, in_a: Tensor, in_b: Tensor) -> np.ndarray:
    rows = zip(a.split(1024), in_a.split(1024), strict=True)
    return sum(member.T @ _kernel(part, b) @ in_b for part, member in rows).numpy()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of KID (Binkowski et al. 2018), (a.b / dimensions + 1)^3: (N, D), (M, D) -> (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _numbered(names: Sequence[Hashable]) -> np.ndarray:
    """Numbers names 0, 1, ... in the order of their first appearance."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])
