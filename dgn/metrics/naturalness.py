"""Naturalness: how far preferred images, as a set, are from real images of the same classes, in a judge's features.

Recognition alone does not do: pixel ascent fools independent networks too, while the distribution of its images is
nowhere near that of real ones. Frechet distance: Heusel et al. 2017. Kernel distance (KID): Binkowski et al. 2018.

The images of a search are not drawn independently: there are as many of each unit as there are seeds. Two of them
are then more seldom of one unit than two of as many independent draws, which makes the usual estimate of KID too
small, below 0 even for real images. Ours knows the units and is unbiased.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_kernel

from dgn.errors import UserError
from dgn.metrics.intervals import jackknife
from dgn.networks.precision import full_precision

FOLDS = 20
"""Units leave the jackknife in at most so many groups: each costs a Frechet distance."""


@dataclass(frozen=True)
class Naturalness:
    """frechet: squared Frechet distance; kid: kernel distance; both 0 where the distributions are equal.
    frechet_folds, kid_folds: pseudo-values, for intervals over units (`intervals.interval(folds, value)`).
    images, real: how many images of each kind went in. The Frechet distance of few images is too large (what it
    expects falls as 1/N): compare it with that of as many real images. KID is unbiased, and so may be below 0."""

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
    """features (N, d) of preferred images and real (M, d) of real ones, by `features_of` a judge.

    units: the unit of each preferred image. classes: the class that it should show, None for hidden units' images.
    Where every image has a class, the reference is the real images of these classes, in the same proportions;
    else all real images. Raises UserError where a class has no real image or there are fewer than two images."""
    matched = all(c is not None for c in classes)
    kept = same_classes(classes, real_classes) if matched else np.arange(len(real))
    if min(len(features), len(kept)) < 2:
        raise UserError(
            f"naturalness needs at least 2 preferred and 2 real images; there are {len(features)} and {len(kept)}: "
            "give more units or seeds, or more reference images"
        )
    fake, genuine = features.double(), real.double()[kept]
    # Units of one class leave together, with the class's real images.
    names = list(dict.fromkeys(classes if matched else units))
    folds = min(FOLDS, len(names))
    fold = {name: i % folds for i, name in enumerate(names)}
    fake_fold = np.array([fold[name] for name in (classes if matched else units)])
    real_fold = np.array([fold[real_classes[i]] for i in kept.tolist()]) if matched else np.full(len(kept), folds)

    def frechet_of(groups: np.ndarray) -> float:
        rest = fake[np.isin(fake_fold, groups)], genuine[np.isin(real_fold, np.append(groups, folds))]
        return frechet(*rest) if min(map(len, rest)) > 1 else float("nan")

    strata, real_strata = _numbered(units), _numbered([real_classes[i] if matched else None for i in kept.tolist()])
    kernels = _KernelSums(fake, genuine, strata, real_strata)
    # a unit and a class are of one fold
    unit_fold = np.array([fake_fold[strata == i][0] for i in range(strata.max() + 1)])
    class_fold = np.array([real_fold[real_strata == i][0] for i in range(real_strata.max() + 1)])

    def kid_of(groups: np.ndarray) -> float:
        return kernels.kid(np.isin(unit_fold, groups), np.isin(class_fold, np.append(groups, folds)))

    every = np.arange(folds)
    fd, kernel = frechet(fake, genuine), kid_of(every)
    spread, kernel_spread = jackknife(every, frechet_of, fd), jackknife(every, kid_of, kernel)
    return Naturalness(fd, kernel, spread, kernel_spread, len(fake), len(genuine))


def same_classes(classes: Sequence[Hashable], real_classes: Sequence[Hashable]) -> np.ndarray:
    """Which real images, the first of each class, have the classes of the preferred images in their proportions:
    a difference in how often classes occur would count as unnatural. (places,) in order."""
    wanted = {name: sum(c == name for c in classes) for name in dict.fromkeys(classes)}
    places = {name: [i for i, c in enumerate(real_classes) if c == name] for name in wanted}
    missing = [str(name) for name, found in places.items() if not found]
    if missing:
        raise UserError(
            f"no real image of {', '.join(missing[:5])} among the {len(real_classes)} reference images; "
            "give more of them (reference_images)"
        )
    share = min(len(places[name]) / count for name, count in wanted.items())
    return np.array(sorted(i for name, count in wanted.items() for i in places[name][: max(1, int(share * count))]))


@full_precision
def frechet(features: Tensor, real: Tensor) -> float:
    """features (N, d), real (M, d) -> the squared Frechet distance of the normal distributions with their means and
    covariances, by torchmetrics in float64. Sets smaller than d do: what the covariances lack in rank adds 0."""
    both = torch.cat([features, real]).double()
    both = both - both.mean(0)  # the distance does not change, rounding does
    if len(both) < both.shape[1]:  # nor does it in a basis of what the images span
        both = both @ torch.linalg.svd(both, full_matrices=False).Vh.T
    metric = FrechetInceptionDistance(_Features(both.shape[1])).set_dtype(torch.float64).to(both.device)
    metric.update(both[len(features) :], real=True)
    metric.update(both[: len(features)], real=False)
    return max(0.0, float(metric.compute()))


@full_precision
def kid(
    features: Tensor,
    real: Tensor,
    units: Sequence[Hashable] | None = None,
    real_classes: Sequence[Hashable] | None = None,
) -> float:
    """features (N, d), real (M, d) -> the kernel distance: the squared maximum mean discrepancy under the kernel
    (x.y / d + 1)^3, over all pairs, in float64.

    units, real_classes: the unit (class) of each image, where their numbers were chosen and not drawn; unbiased if
    each has two images or more. None: independent draws, as the published estimate has it."""
    strata = [_numbered(names or [0] * len(x)) for names, x in ((units, features), (real_classes, real))]
    sums = _KernelSums(features.double(), real.double(), *strata)
    return sums.kid(*(np.full(s.max() + 1, True) for s in strata))


class _Features(nn.Module):
    """torchmetrics' feature extractor, where the features are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


class _KernelSums:
    """Sums of the kernel over the pairs of each two strata (units, classes): what KID is made of, for all of them or
    some."""

    def __init__(self, fake: Tensor, real: Tensor, strata: np.ndarray, real_strata: np.ndarray) -> None:
        x, y = (torch.eye(s.max() + 1, dtype=torch.float64)[torch.from_numpy(s)] for s in (strata, real_strata))
        self.fake, self.real = _Pairs(fake, x), _Pairs(real, y)
        self.across = _sums(fake, real, x, y)

    def kid(self, of_fake: np.ndarray, of_real: np.ndarray) -> float:
        """Over the strata marked in each, (strata,) bool."""
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
        own = (images.square().sum(1, keepdim=True) / images.shape[1] + 1) ** 3
        self.own = (member * own).sum(0).numpy()

    def mean(self, of: np.ndarray) -> float:
        """What the kernel is on average over two independent draws from the strata's mixture: the strata's shares
        are known, the distribution within each is what its images show, of which no image is paired with itself."""
        counts, sums, own = self.counts[of], self.sums[np.ix_(of, of)].copy(), self.own[of]
        total = counts.sum()
        if counts.min() < 2:  # no pair within that stratum: as if images were drawn from all strata together
            return (sums.sum() - own.sum()) / (total * (total - 1))
        np.fill_diagonal(sums, (sums.diagonal() - own) * counts / (counts - 1))
        return sums.sum() / total**2


def _sums(a: Tensor, b: Tensor, in_a: Tensor, in_b: Tensor) -> np.ndarray:
    rows = zip(a.split(1024), in_a.split(1024), strict=True)
    return sum(member.T @ poly_kernel(part, b) @ in_b for part, member in rows).numpy()


def _numbered(names: Sequence[Hashable]) -> np.ndarray:
    """Names -> 0, 1, ... in the order of their first appearance."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])
