"""Draws activation against naturalness, for every method, over the setting that trades one for the other.

    python benchmarks/tradeoff.py [PRIOR] [--units fc8:0-15] [--seeds 4] [--judge judge=mini_resnet] [--out FOLDER]

One point of a method is a choice; its curve is the fair comparison (the higher and the further left, the better).
Swept are the strength of `guided` and the number of steps of the others. All searches start from noise, but those of
`guided`, which start at draws of the prior's code model; `guided_from_noise` does not. The first rows are the bar: as
many real images of each class, and their reconstructions G(E(x)), which no search through this generator can be
expected to surpass in naturalness. Writes `tradeoff.md` and `tradeoff.png`:

activation  mean over the searches, in standard deviations of the unit over real images above their mean
percentile  of the activation among real images of any class
Frechet     distance to real images of the searched classes, in the judge's features
recognized  share that the judge puts into the searched class
diversity   mean distance between the seeds of a unit over that of real images of its class
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from dgn import Prior, methods
from dgn.am.objectives.language import as_objectives
from dgn.am.preferred import Preferred
from dgn.cli.config import compose
from dgn.cli.networks import network
from dgn.metrics.diversity import diversity, perceptual
from dgn.metrics.features import extract_features
from dgn.metrics.naturalness import same_classes
from dgn.metrics.percentile import percentiles
from dgn.metrics.scorer import class_index
from dgn.prior.frechet import frechet
from dgn.prior.location import find_prior

matplotlib.use("agg")
import matplotlib.pyplot as plt

STEPS = (10, 25, 50, 100, 200, 400)


def searcher(name: str) -> Callable[..., Preferred]:
    """Returns the search of a method from noise; of guided at draws of the prior, unless it is `guided_from_noise`."""
    start = "sample" if name == "guided" else "noise"
    return partial(getattr(methods, name.removesuffix("_from_noise")), start=start)


def settings(name: str, value: float) -> dict[str, Any]:
    """Returns the arguments of a method for a value of what is swept."""
    if name.startswith("guided"):
        return {"regularizers": {"guidance": {"strength": value}}}
    return {"steps": int(value)}


SWEEPS: dict[str, tuple[float, ...]] = {
    "guided": (0, 30, 60, 120, 250, 500),
    "guided_from_noise": (0, 3, 6, 12, 18, 30, 60, 120),
    "dgn_am": STEPS,
    "dgn_am_short": (1, 2, 4, 8, 16, 32),
    "ppgn2017": STEPS,
    "olah2017": STEPS,
    "maco2023": STEPS,
    "pixels": STEPS,
}
"""{method: values of what is swept}."""


class Measures:
    """Measures preferred images against real ones.

    Args:
        prior: The prior; its encoder is the target, and its data are the real images.
        units: The units, as for `dgn.maximize`; units of the layer of classes.
        judge: A network that shares nothing with the target.
        images: Number of real images.
    """

    def __init__(self, prior: Prior, units: str, judge: list[str], images: int) -> None:
        self.target = prior.encoder_net()
        self.data = instantiate({key: value for key, value in prior.about["data"].items() if key != "classes"})
        self.judge = network(compose("visualize", judge).judge, self.data)
        self.objectives = as_objectives(units, self.target)
        batches = list(self.data.real_images(images, "val"))
        real, self.labels = torch.cat([b for b, _ in batches]), torch.cat([label for _, label in batches])
        self.real = real
        self.features, self.space = extract_features(self.judge, real), perceptual(self.judge, [self.judge.trunk()])
        logits = extract_features(self.target, real, self.target.class_layer())
        self.wanted = [class_index(objective, self.data.classes) for objective in self.objectives]
        self.activations = [logits[:, index] for index in self.wanted]
        self.real_diversity = diversity(real, self.labels.tolist(), self.space)

    def __call__(self, preferred: Preferred) -> dict[str, float]:
        """Returns the columns of the table."""
        at = {objective: i for i, objective in enumerate(self.objectives)}
        return self.columns(preferred.images, [at[objective] for objective in preferred.objectives])

    def own_images(self, count: int) -> tuple[Tensor, list[int]]:
        """Returns the first `count` real images of each unit's class, (N, 3, H, W), and their units' numbers."""
        chosen = [(self.labels == label).nonzero().flatten()[:count] for label in self.wanted]
        return self.real[torch.cat(chosen)], [i for i, rows in enumerate(chosen) for _ in rows]

    @torch.no_grad()
    def columns(self, images: Tensor, unit: list[int]) -> dict[str, float]:
        """Returns the columns of the table for images (N, 3, H, W) of units, by their numbers."""
        classes = [self.wanted[i] for i in unit]
        logits = extract_features(self.target, images, self.target.class_layer())
        activations = logits[range(len(classes)), classes]
        values = activations.tolist()
        features = extract_features(self.judge, images)
        choice = extract_features(self.judge, images, self.judge.class_layer()).argmax(1)
        genuine = self.features[same_classes(classes, self.labels.tolist())]
        among = diversity(images, classes, self.space)
        real = [self.activations[i] for i in unit]
        ranks = percentiles(activations, torch.stack(real, 1))
        return {
            "activation": float(np.mean([_deviations(v, r) for v, r in zip(values, real, strict=True)])),
            "percentile": float(np.mean(ranks)),
            "frechet": frechet(features, genuine),
            "recognized": float((choice == torch.tensor(classes)).float().mean()),
            "diversity": float(np.mean([among[c] / self.real_diversity[c] for c in among])),
        }


def _deviations(value: float, real: Tensor) -> float:
    return (value - float(real.mean())) / float(real.std())


def sweep(measures: Measures, prior: Prior, name: str, units: str, seeds: int) -> list[dict[str, float]]:
    """Returns a row for each value of a method's sweep."""
    search, rows = searcher(name), []
    for value in SWEEPS[name]:
        preferred = search(prior, units, seeds=seeds, data=measures.data, **settings(name, value))
        rows.append({"value": value, **measures(preferred)})
        print(table_row(name, rows[-1]), flush=True)
    return rows


def bar(measures: Measures, prior: Prior, count: int) -> list[str]:
    """Returns the rows of real images and of their reconstructions."""
    images, units = measures.own_images(count)
    with torch.no_grad():
        painted = prior.decode(prior.encode(images))
    named = {"real images": images, "reconstructions": painted}
    return [table_row(name, {"value": math.nan, **measures.columns(of, units)}) for name, of in named.items()]


def table_row(name: str, row: dict[str, float]) -> str:
    """Returns a row of the Markdown table."""
    swept = "strength" if name.startswith("guided") else "steps"
    setting = "" if math.isnan(row["value"]) else f"{swept} {row['value']:g}"
    figures = [f"{row['activation']:.2f}", f"{row['percentile']:.1f}", f"{row['frechet']:.1f}"]
    figures += [f"{row['recognized']:.2f}", f"{row['diversity']:.2f}"]
    return f"| `{name}` | {setting} | " + " | ".join(figures) + " |"


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draws the curves on logarithmic axes: Frechet distance (smaller to the left) and activation."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, rows in curves.items():
        axes.plot([row["frechet"] for row in rows], [row["activation"] for row in rows], "o-", label=name, markersize=4)
        axes.annotate(f"{rows[-1]['value']:g}", (rows[-1]["frechet"], rows[-1]["activation"]), fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("Frechet distance to real images (less is more natural)")
    axes.set_ylabel("activation (standard deviations over real images)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "prior", nargs="?", default="latest", help="prior file or run folder; default: the newest prior"
    )
    parser.add_argument("--units", default="fc8:0-15", help="units of the layer of classes")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--images", type=int, default=1000, help="real images")
    parser.add_argument("--judge", nargs="+", default=["judge=mini_resnet"], help="overrides that name the judge")
    parser.add_argument("--methods", nargs="+", default=list(SWEEPS), choices=list(SWEEPS))
    parser.add_argument("--out", type=Path, default=Path("outputs/tradeoff"))
    options = parser.parse_args()
    prior = Prior.load(find_prior(options.prior))
    measures = Measures(prior, options.units, options.judge, options.images)
    head = "| method | setting | activation | percentile | Frechet | recognized | diversity |\n" + "|---" * 7 + "|"
    references = bar(measures, prior, options.seeds)
    print("\n".join([head, *references]), flush=True)
    curves = {name: sweep(measures, prior, name, options.units, options.seeds) for name in options.methods}
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [table_row(name, row) for name, curve in curves.items() for row in curve]
    (options.out / "tradeoff.md").write_text("\n".join([head, *references, *rows]) + "\n", encoding="utf-8")
    draw(curves, options.out / "tradeoff.png")


if __name__ == "__main__":
    main()
