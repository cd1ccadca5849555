"""Measures what objectives of several networks and of levels reach, through a prior.

    python benchmarks/objectives.py [PRIOR] [--method dgn_am] [--classes 0 2 4] [--other mini_resnet]
        [--high unit level] [--weights 1 2 4] [--searches 1] [--seed 0]

Controversial images: for each class, an image that the prior's encoder gives a high activation and another network,
with the same classes, a low one, and the other way round (Golan et al. 2020). The low one is `level(...)` of the lower
quartile of real images, times the weight. The high one is by `--high`

unit    the activation itself, which is worth raising at any price to the other
level   `level(...)` of the highest activation of real images and a standard deviation more: worth nothing beyond it

Both are in standard deviations over real images. The table has, for each weight, the mean percentile of each network's
activation among real images, the number of searches that bring one network above the 99th and the other below the 50th,
and the number of pairs with such a search. Choose a weight on some classes (`--classes 0 2 4`) and report it on others.

Levels: a unit driven to eleven activations, from the lowest of real images to the highest. The table has the largest
and the mean distance to what was asked for, in percent of that range.
"""

import argparse

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from dgn import FeatureNet, Objective, Prior, level, methods, unit
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.cli.config import compose
from dgn.cli.networks import network
from dgn.metrics.percentile import percentiles
from dgn.networks.named_networks import NamedNetworks
from dgn.prior.location import find_prior

LEVELS = 11


def controversial(
    prior: Prior, first: FeatureNet, other: FeatureNet, images: Tensor, options: argparse.Namespace
) -> None:
    """Prints the table of controversial images."""
    both = NamedNetworks(first, {"b": other})
    a, b = first.class_layer(), f"b/{other.class_layer()}"
    classes: list[int] = options.classes or list(range(0, first.layer(a).units, 2))
    seeds = [options.seed + i for i in range(options.searches)]
    print(f"classes {', '.join(map(str, classes))}\n\n| high | low | high one is | weight | percentile of the high "
          "| of the low | over the 99th and under the 50th | pairs with one |\n" + "|---" * 8 + "|")  # fmt: skip
    for high, low, names in ((a, b, (first.name, other.name)), (b, a, (other.name, first.name))):
        units = [(unit(high, k), unit(low, k)) for k in classes]
        real = [objective_values(both, pair, images) for pair in units]
        for kind in options.high:
            for weight in options.weights:
                objectives = [
                    controversy(kind, weight, (high, low), k, values) for k, values in zip(classes, real, strict=True)
                ]
                search = getattr(methods, options.method)
                found = search(both, objectives, prior=prior, seeds=seeds, start="noise")
                ranks = np.array([
                    [percentiles(value, values) for value in objective_values(both, pair, seen)]
                    for pair, values, seen in zip(units, real, found.images.split(len(seeds)), strict=True)
                ])  # fmt: skip
                reached = (ranks[..., 0] > 99) & (ranks[..., 1] < 50)
                cells = [*names, kind, f"{weight:g}", *(f"{mean:.1f}" for mean in ranks.mean((0, 1)))]
                cells += [f"{reached.sum()} of {reached.size}", f"{reached.any(1).sum()} of {len(units)}"]
                print(f"| {' | '.join(cells)} |", flush=True)


def controversy(kind: str, weight: float, layers: tuple[str, str], index: int, real: Tensor) -> Objective:
    """Returns the objective of a pair: a unit of the first layer high, the same unit of the second low.

    Args:
        kind: "unit" or "level".
        weight: of the low one.
        layers: both layers.
        index: the unit.
        real: the activations of both units on real images (images, 2).
    """
    (high, low), (spread, low_spread) = layers, real.std(0).tolist()
    top, quartile = float(real[:, 0].max()) + spread, float(real[:, 1].quantile(0.25))
    up = unit(high, index) if kind == "unit" else level(high, index, top)
    return (1 / spread) * up + (weight / low_spread) * level(low, index, quartile)


def levels(prior: Prior, target: FeatureNet, images: Tensor, options: argparse.Namespace) -> None:
    """Prints the table of levels, if any unit is asked for."""
    if not options.levels:
        return
    print("\n| unit | range of real images | mean error | largest error |\n|---|---|---|---|")
    for text in options.levels:
        (objective,) = parse_units(text, target)
        real = objective_values(target, [objective], images)[:, 0]
        low, high = float(real.min()), float(real.max())
        wanted = torch.linspace(low, high, LEVELS)
        term = objective.terms[0][1]
        asked: list[Objective] = [level(term.layer, term.index, float(value), term.position) for value in wanted]
        found = getattr(methods, options.method)(
            target, asked, prior=prior, seeds=[options.seed], start="noise", steps=options.steps
        )
        reached = objective_values(target, [objective], found.images)[:, 0]
        error = 100 * (reached - wanted).abs() / (high - low)
        print(f"| `{text}` | {low:.2f} .. {high:.2f} | {error.mean():.2f}% | {error.max():.2f}% |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", nargs="?")
    parser.add_argument("--method", default="dgn_am")
    parser.add_argument("--classes", type=int, nargs="+", help="default: every second")
    parser.add_argument("--high", nargs="+", choices=["unit", "level"], default=["unit", "level"])
    parser.add_argument(
        "--other", nargs="+", default=["mini_resnet"], help="a network of conf/judge, with its settings"
    )
    parser.add_argument("--weights", type=float, nargs="+", default=[1, 2, 4], help="of the network that is to be low")
    parser.add_argument("--levels", nargs="*", default=["fc8:0", "fc8:5", "fc6:3", "conv5:10", "conv3:2"])
    parser.add_argument("--steps", type=int, default=None, help="of the searches for levels")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--searches", type=int, default=1, help="of each pair")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prior = Prior.load(find_prior(options.prior))
    data = instantiate({key: value for key, value in prior.about["data"].items() if key != "classes"})
    images = torch.cat([batch for batch, _ in data.real_images(options.images, "val")])
    name, *settings = options.other
    other = network(compose("visualize", [f"judge={name}", *settings]).judge, data)
    target = prior.encoder_net()
    print(f"{prior.source}, {options.method}, {len(images)} real images\n")
    controversial(prior, target, other, images, options)
    levels(prior, target, images, options)


if __name__ == "__main__":
    main()
