"""Searches codes that are maps unit by unit, and within the span of their strongest axes: repetition, recognition.

    python benchmarks/subspace.py [--steps 600] [--choose 0] [--report 0] [--seeds 4] [--out outputs/subspace]

Priors of conv3, conv5 and fc6 of the embedded encoder are trained on the doodles with the default recipe, all for the
same number of steps (kept in $DGN_CACHE/studies, as those of study.py). The classes are searched from noise

code      unit by unit, by each of --full
axes      along all axes and the residual: `dgn_am_ellipsoid`
k axes    within the span of the k strongest axes (`method.parametrization.subspace=k`), by each of --methods

With the prior of training seed --choose and half of the classes, k and the size of the ellipsoid
(`method.parametrization.sigmas`) are chosen for each layer and method: the most recognized pictures, of these the
smallest Frechet distance. The table is of the other half of the classes, which chose
nothing, with the priors of the training seeds --report:

recognized  share that the judge, a network of another architecture, puts into the searched class
whole       probability, by a classifier of real images and of those with shuffled quarters, that it is not shuffled
repetition  highest peak of the autocorrelation of the edges at shifts of an eighth of the side or more
percentile  of the activation among real images
Frechet     distance to real images of the same classes, in the judge's features

Intervals are 95% bootstrap intervals over units. The rows of real images, of their reconstructions by each prior, and
of reconstructions from codes that were projected onto the chosen axes are measured alike. Writes the table, and a sheet
of pictures for each layer, into --out.
"""

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from dgn import Prior, methods
from dgn.am.objectives.language import as_objectives
from dgn.cli.config import compose, plain
from dgn.cli.kept_trainings import KeptTrainings
from dgn.cli.networks import network
from dgn.data.modified import alter
from dgn.metrics.features import extract_features
from dgn.metrics.intervals import interval
from dgn.metrics.kinds import fit_kind_judge
from dgn.metrics.percentile import percentiles
from dgn.metrics.repetition import repetition
from dgn.prior.frechet import frechet
from dgn.report.comparison_figure import comparison_figure

IMAGES = 512


@dataclass(frozen=True)
class Variant:
    """A method, the axes along which it searches (None: the code itself; "all", or their number), and its bounds."""

    method: str
    axes: int | str | None = None
    sigmas: float = 3

    def __str__(self) -> str:
        where = {None: "code", "all": "axes"}.get(self.axes, f"{self.axes} axes")
        return f"`{self.method}`, {where}" + ("" if self.sigmas == 3 else f", `sigmas={self.sigmas:g}`")


@dataclass(frozen=True)
class Found:
    """Pictures and what was measured of them; arrays are (units,), means over the seeds of a unit."""

    images: Tensor
    recognized: np.ndarray
    whole: np.ndarray
    repetition: np.ndarray
    percentile: np.ndarray
    frechet: float


class Lab:
    """The networks and real images; trains priors, searches and measures.

    Args:
        steps: Of the training of each prior.
        seeds: The number of searches of each unit.
    """

    def __init__(self, steps: int, seeds: int) -> None:
        config = plain(compose("study", []))
        self.steps, self.seeds = steps, seeds
        self.data = instantiate(config["data"])
        self.encoder = network(config["encoder"], self.data)
        self.judge = network(compose("visualize", ["judge=mini_resnet"]).judge, self.data)
        self.trainings = KeptTrainings(config, self.encoder, [], torch.device("cpu"))
        layer = self.encoder.class_layer()
        self.objectives = as_objectives(f"{layer}:all", self.encoder)
        (train, _), (self.real, self.labels) = map(self._images, ("train", "val"))
        sets = ({"whole": images, "shuffled": alter(images, "shuffled")} for images in (train, self.real))
        self.kinds = fit_kind_judge(self.judge, *sets)
        self.features = extract_features(self.judge, self.real)
        self.activations = extract_features(self.encoder, self.real, layer)
        every = torch.arange(len(self.objectives))
        self.choosing, self.reported = every[::2], every[1::2]

    def _images(self, split: str) -> tuple[Tensor, Tensor]:
        batches = list(self.data.real_images(IMAGES, split))
        return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])

    def prior(self, layer: str, seed: int) -> Prior:
        """Returns the prior of a layer, trained with a seed; it is trained first if none is kept."""
        return self.trainings.prior(layer, seed=seed, steps=self.steps)

    def search(self, prior: Prior, variant: Variant, classes: Tensor) -> Found:
        """Searches classes from noise."""
        parametrization = {"subspace": variant.axes, "sigmas": variant.sigmas}
        search, objectives = getattr(methods, variant.method), [self.objectives[i] for i in classes]
        found = search(
            prior, objectives, seeds=self.seeds, start="noise", data=self.data, parametrization=parametrization
        )
        return self.measured(found.images, classes.repeat_interleave(self.seeds))

    @torch.no_grad()
    def real_images(self, prior: Prior | None = None, axes: int | None = None) -> Found:
        """Measures as many real images of each reported class as there are searches, or a prior's reconstructions.

        Args:
            prior: The prior; None: the images themselves.
            axes: The number of axes onto which the codes are projected before; None: as they are.
        """
        rows = torch.cat([(self.labels == label).nonzero().flatten()[: self.seeds] for label in self.reported])
        images = self.real[rows]
        if prior is not None:
            codes = prior.encode(images)
            if axes is not None:
                strongest = prior.principal.strongest(axes)
                codes = strongest.lift(strongest.project(codes)).clamp_min(0)  # the codes are rectified
            images = prior.decode(codes)
        return self.measured(images, self.labels[rows])

    @torch.no_grad()
    def measured(self, images: Tensor, classes: Tensor) -> Found:
        """Measures pictures (N, 3, H, W) of classes (N,), the seeds of each class side by side."""
        choice = extract_features(self.judge, images, self.judge.class_layer()).argmax(1)
        values = extract_features(self.encoder, images, self.encoder.class_layer())[range(len(classes)), classes]
        ranks = percentiles(values, self.activations[:, classes])
        whole = self.kinds.probability(images, "whole")
        columns = ((choice == classes).float().tolist(), whole, repetition(images).tolist(), ranks)
        means = (np.reshape(column, (-1, self.seeds)).mean(1) for column in columns)
        genuine = self.features[torch.isin(self.labels, classes)]
        return Found(images, *means, frechet(extract_features(self.judge, images), genuine))


def choose(lab: Lab, layer: str, prior: Prior, variants: Iterable[Variant]) -> Variant:
    """Returns the search whose pictures are recognized most."""
    tried = {}
    for variant in variants:
        tried[variant] = lab.search(prior, variant, lab.choosing)
        print(row(layer, variant, [tried[variant]]), flush=True)
    return max(tried, key=lambda variant: (tried[variant].recognized.mean(), -tried[variant].frechet))


HEAD = "| prior | search | recognized | whole | repetition | percentile | Frechet |\n" + "|---" * 7 + "|"


def row(layer: str, variant: object, found: Sequence[Found]) -> str:
    """Returns a row of the table: means over training seeds, intervals over units."""
    cells = []
    for key in ("recognized", "whole", "repetition"):
        estimate = interval(_mean(getattr(one, key) for one in found), share=key == "recognized")
        assert estimate is not None  # there are units
        cells.append(f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})")
    ranks = _mean(one.percentile for one in found)
    cells += [f"{ranks.mean():.1f}", f"{np.mean([one.frechet for one in found]):.1f}"]
    return f"| {layer} | {variant} | " + " | ".join(cells) + " |"


def difference(layer: str, variant: Variant, other: object, found: Sequence[Found], of_other: Sequence[Found]) -> str:
    """Returns in words how far two searches differ, with intervals over units."""
    said = []
    for key in ("recognized", "whole", "repetition"):
        far = _mean(getattr(one, key) for one in found) - _mean(getattr(one, key) for one in of_other)
        apart = interval(far)
        assert apart is not None
        said.append(f"{key} {apart.value:+.2f} ({apart.low:+.2f} to {apart.high:+.2f})")
    return f"{layer}, {variant} minus {other}: " + ", ".join(said)


def _mean(columns: Iterable[np.ndarray]) -> np.ndarray:
    return np.mean(list(columns), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", default=["conv3", "conv5"], help="layers whose codes are maps")
    parser.add_argument("--against", default="fc6", help="a layer whose codes are vectors")
    parser.add_argument("--steps", type=int, default=600, help="of the training of each prior")
    parser.add_argument("--choose", type=int, default=0, help="the training seed with which k is chosen")
    parser.add_argument("--report", type=int, nargs="+", default=[0], help="the training seeds of the table")
    parser.add_argument(
        "--full", nargs="+", default=["dgn_am", "dgn_am_short"], help="methods that search unit by unit"
    )
    parser.add_argument("--methods", nargs="+", default=["dgn_am_ellipsoid"], help="that search k axes")
    parser.add_argument("--axes", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="values of k")
    parser.add_argument("--sigmas", type=float, nargs="+", default=[1, 3], help="sizes of the ellipsoid")
    parser.add_argument("--seeds", type=int, default=4, help="searches of each class")
    parser.add_argument("--out", type=Path, default=Path("outputs/subspace"))
    options = parser.parse_args()
    lab = Lab(options.steps, options.seeds)
    print(f"Chosen with training seed {options.choose}, half of the classes:\n{HEAD}", flush=True)
    chosen: dict[str, list[Variant]] = {}
    for layer in options.layers:
        prior = lab.prior(layer, options.choose)
        for method in options.methods:
            numbers = [number for number in options.axes if number <= prior.principal.count]
            grid = [Variant(method, *pair) for pair in itertools.product(numbers, options.sigmas)]
            chosen.setdefault(layer, []).append(choose(lab, layer, prior, grid))
    print(f"\nTraining seeds {', '.join(map(str, options.report))}, the other half:\n{HEAD}", flush=True)
    lines = [row("", "real images", [lab.real_images()])]
    print(lines[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    everything = [*map(Variant, options.full), Variant("dgn_am_ellipsoid", "all")]
    apart: list[str] = []
    vectors: list[Found] = []
    for layer in (options.against, *options.layers):
        priors = [lab.prior(layer, seed) for seed in options.report]
        found: dict[object, list[Found]] = {"reconstructions": [lab.real_images(prior) for prior in priors]}
        for axes in sorted({int(variant.axes or 0) for variant in chosen.get(layer, ())}):
            found[f"reconstructions, {axes} axes"] = [lab.real_images(prior, axes) for prior in priors]
        print("\n".join(row(layer, name, of) for name, of in found.items()), flush=True)
        for variant in (*everything, *chosen.get(layer, ())):
            found[variant] = [lab.search(prior, variant, lab.reported) for prior in priors]
            print(row(layer, variant, found[variant]), flush=True)
        lines += [row(layer, name, of) for name, of in found.items()]
        full = max(everything[:-1], key=lambda variant: float(_mean(one.recognized for one in found[variant]).mean()))
        vectors = vectors or found[full]
        for variant in chosen.get(layer, ()):
            apart.append(difference(layer, variant, full, found[variant], found[full]))
            apart.append(difference(layer, variant, options.against, found[variant], vectors))
        sheet(options.out / f"{layer}.png", lab, found)
    text = "\n".join([HEAD, *lines, "", *apart])
    print("\n" + "\n".join(apart))
    (options.out / "subspace.md").write_text(text + "\n", encoding="utf-8")


def sheet(path: Path, lab: Lab, found: dict[object, list[Found]]) -> None:
    """Draws the first picture of every class, a row for each search."""
    images = torch.cat([of[0].images[:: lab.seeds] for of in found.values()])
    names = [str(name).replace("`", "") for name in found]
    comparison_figure(images, names, [lab.objectives[i].label for i in lab.reported], scale=1).save(path)


if __name__ == "__main__":
    main()
