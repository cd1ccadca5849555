"""Naturalness: how far preferred images, as a set, are from real images of the same classes, in a judge's features.

Recognition alone does not do: pixel ascent fools independent networks too, while the distribution of its images is
nowhere near that of real ones. Frechet distance: Heusel et al. 2017. Kernel distance (KID): Binkowski et al. 2018.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance, poly_kernel

from dgn.errors import UserError
from dgn.metrics.intervals import jackknife

FOLDS = 20
"""Units leave the jackknife in at most so many groups: each costs a Frechet distance."""


@dataclass(frozen=True)
class Naturalness:
    """frechet: squared Frechet distance; kid: kernel distance; both 0 where the distributions are equal.
    frechet_folds, kid_folds: pseudo-values, for intervals over units (`intervals.interval(folds, value)`).
    images, real: how many images of each kind went in. The Frechet distance of few images is too large (what it
    expects falls as 1/N): compare it with that of as many real images. KID is unbiased, and may be below 0."""

    frechet: float
    kid: float
    frechet_folds: np.ndarray
    kid_folds: np.ndarray
    images: int
    real: int


def naturalness(
    features: Tensor,
    units: Sequence[Hashable],
    classes: Sequence[Hashable | None],
    real: Tensor,
    real_classes: Sequence[Hashable],
    seed: int = 0,
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
    real_fold = np.array([fold[real_classes[i]] for i in kept]) if matched else np.full(len(kept), folds)

    def frechet_of(groups: np.ndarray) -> float:
        rest = fake[np.isin(fake_fold, groups)], genuine[np.isin(real_fold, np.append(groups, folds))]
        return frechet(*rest) if min(map(len, rest)) > 1 else float("nan")

    kernels = _KernelSums(fake, genuine, fake_fold, real_fold, folds)
    value = frechet(fake, genuine)
    return Naturalness(
        value,
        kid(fake, genuine, seed=seed),
        jackknife(np.arange(folds), frechet_of, value),
        jackknife(np.arange(folds), kernels.kid, kernels.kid(np.arange(folds))),
        len(fake),
        len(genuine),
    )


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


def kid(features: Tensor, real: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> float:
    """features (N, d), real (M, d) -> the kernel distance, unbiased, with the kernel (x.y / d + 1)^3: the mean over
    random subsets, no larger than either set, by torchmetrics in float64."""
    size = min(len(features), len(real), subset_size)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that it keeps the features, which is what we gave it
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(_Features(features.shape[1]), subsets=subsets, subset_size=size)
        metric.update(real.double(), real=True)
        metric.update(features.double(), real=False)
        return float(metric.compute()[0])


class _Features(nn.Module):
    """torchmetrics' feature extractor, where the features are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


class _KernelSums:
    """KID over all pairs, without some folds, from sums of the kernel between folds: no subsets' noise, which
    pseudo-values would multiply."""

    def __init__(self, fake: Tensor, real: Tensor, fake_fold: np.ndarray, real_fold: np.ndarray, folds: int) -> None:
        x, y = (torch.eye(folds + 1, dtype=torch.float64)[torch.from_numpy(f)] for f in (fake_fold, real_fold))
        self.counts = [member.sum(0).numpy() for member in (x, y)]
        self.xx, self.yy, self.xy = _sums(fake, fake, x, x), _sums(real, real, y, y), _sums(fake, real, x, y)
        # k(x, x), which the unbiased estimate leaves out
        own = [(s.square().sum(1, keepdim=True) / s.shape[1] + 1) ** 3 for s in (fake, real)]
        self.own = [(member * diagonal).sum(0).numpy() for member, diagonal in zip((x, y), own, strict=True)]
        self.rest = folds

    def kid(self, groups: np.ndarray) -> float:
        """Over the folds given, and over the real images that are in no fold."""
        stays = np.append(groups, self.rest)
        (n, m), (own_x, own_y) = ([part[stays].sum() for part in pair] for pair in (self.counts, self.own))
        if min(n, m) < 2:
            return float("nan")
        xx, yy, xy = (part[np.ix_(stays, stays)].sum() for part in (self.xx, self.yy, self.xy))
        return float((xx - own_x) / (n * (n - 1)) + (yy - own_y) / (m * (m - 1)) - 2 * xy / (n * m))


def _sums(a: Tensor, b: Tensor, in_a: Tensor, in_b: Tensor) -> np.ndarray:
    rows = zip(a.split(1024), in_a.split(1024), strict=True)
    return sum(member.T @ poly_kernel(part, b) @ in_b for part, member in rows).numpy()
