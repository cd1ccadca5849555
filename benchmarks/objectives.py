"""Measures what objectives of several networks and of levels reach, through a prior.

    python benchmarks/objectives.py [PRIOR] [--method dgn_am] [--units 8] [--other mini_resnet] [--seed 0]

Controversial images: for each class, an image that the prior's encoder gives a high activation and another network,
with the same classes, a low one, and the other way round (Golan et al. 2020): the sum of the one's activation and of
`level(...)` of the other's, the lower quartile of real images, in standard deviations of each. The table has the mean
percentile of each network's activation among real images, and the share of pairs with one network above the 99th and
the other below the 50th.

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
    classes = np.linspace(0, first.layer(a).units - 1, options.units).astype(int)
    print(
        "| high | low | percentile of the high | of the low | over the 99th and under the 50th |\n|---|---|---|---|---|"
    )
    for high, low, names in ((a, b, (first.name, other.name)), (b, a, (other.name, first.name))):
        units = [(unit(high, int(k)), unit(low, int(k))) for k in classes]
        real = [objective_values(both, pair, images) for pair in units]
        objectives = [
            (1 / float(values[:, 0].std())) * up
            + (options.weight / float(values[:, 1].std())) * level(low, int(k), float(values[:, 1].quantile(0.25)))
            for k, (up, _), values in zip(classes, units, real, strict=True)
        ]
        search = getattr(methods, options.method)
        found = search(both, objectives, prior=prior, seeds=[options.seed], start="noise")
        ranks = []
        for pair, values, image in zip(units, real, found.images, strict=True):
            ranks.append(percentiles(objective_values(both, pair, image[None])[0], values))
        ranks_of = np.array([[float(rank) for rank in row] for row in ranks])
        share = ((ranks_of[:, 0] > 99) & (ranks_of[:, 1] < 50)).mean()
        print(
            f"| {names[0]} | {names[1]} | {ranks_of[:, 0].mean():.1f} | {ranks_of[:, 1].mean():.1f} | {share:.0%} |",
            flush=True,
        )


def levels(prior: Prior, target: FeatureNet, images: Tensor, options: argparse.Namespace) -> None:
    """Prints the table of levels."""
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
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument(
        "--other", nargs="+", default=["mini_resnet"], help="a network of conf/judge, with its settings"
    )
    parser.add_argument("--weight", type=float, default=2.0, help="of the network that is to be low")
    parser.add_argument("--levels", nargs="+", default=["fc8:0", "fc8:5", "fc6:3", "conv5:10", "conv3:2"])
    parser.add_argument("--steps", type=int, default=None, help="of the searches for levels")
    parser.add_argument("--images", type=int, default=2000)
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
