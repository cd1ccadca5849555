"""Compares searches without gradients at an equal number of images, with and without noise.

    python benchmarks/black_box.py [PRIOR] [--layers fc6 fc8] [--units 3] [--seeds 1] [--noise 0 0.2 0.5] [--out FOLDER]

The target is the network that the prior inverts, unless `--target` names another, as visualize.py does; a network of
your own code has to be named (`--target custom target.model=FILE:FUNCTION target.weights=FILE`). Its layers are the
prior's own and that of the classes, which for the embedded network are fc6 and fc8.

Each search has 75 generations of 40 images, the 3,000 of the published comparison (Wang & Ponce 2022, on AlexNet), and
its noise: the search sees score * max(0, 1 + noise * N(0, 1)). The table has, as means over units and seeds,

best    the activation without noise of the image that had the highest score, as a fraction of what the gradient finds
        (`dgn_am`, 200 steps from the same seeds)
centre  that of the image in the middle of the last generation

and the published fractions, which are of the best that any of their searches found. Writes `black_box.md` and
`black_box.csv`. `--strategies` takes settings too: `cma_sphere:norm=200`, `cma:clip=true`, `cma:subspace=64`.
"""

import argparse
import csv
import json
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate

from dgn import Evolution, FeatureNet, Objective, Prior, methods
from dgn.am.evolution import STRATEGIES
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.cli.config import compose
from dgn.cli.networks import network
from dgn.prior.location import find_prior

GENERATIONS = 75
OF_EVOLUTION = ("clip", "subspace", "sigmas")
"""Settings of the search; all others are those of the strategy."""
PUBLISHED = {
    ("fc6", 0.0): {"genetic": 0.244, "cma": 0.519, "cma_cholesky": 0.571, "cma_sphere": 0.766},
    ("fc8", 0.0): {"genetic": 0.308, "cma": 0.600, "cma_cholesky": 0.703, "cma_sphere": 0.865},
    ("fc6", 0.2): {"genetic": 0.228, "cma": 0.429, "cma_cholesky": 0.361, "cma_sphere": 0.404},
}
"""{(layer, noise): fraction of the best found}, units of AlexNet."""


def search(
    prior: Prior, target: FeatureNet, unit: Objective, strategy: str, noise: float, seed: int
) -> dict[str, float]:
    """Runs one search; returns the activations, without noise, of its best and of its centre."""
    name, _, text = strategy.partition(":")
    settings: dict[str, Any] = dict(pair.split("=") for pair in text.split(",") if pair)
    settings = {key: json.loads(value) for key, value in settings.items()}
    own = {key: settings.pop(key) for key in OF_EVOLUTION if key in settings}
    evolution = Evolution(prior, partial(STRATEGIES[name], **settings), GENERATIONS, seed, **own)
    random = np.random.default_rng([seed, 1])
    for _ in range(GENERATIONS):
        _, images = evolution.ask()
        clean = objective_values(target, [unit], images)[:, 0].numpy()
        evolution.tell(clean * np.maximum(0, 1 + noise * random.standard_normal(len(clean))))
    shown = torch.stack([evolution.best_image, evolution.centre_image])
    best, centre = objective_values(target, [unit], shown)[:, 0].tolist()
    return {"best": best, "centre": centre}


def searched(prior: Prior, named: list[str]) -> FeatureNet:
    """Returns the network that `--target` names, with its settings, or that of the prior."""
    if not named:
        return prior.encoder_net()
    data = instantiate({key: value for key, value in prior.about["data"].items() if key != "classes"})
    name, *settings = named
    return network(compose("visualize", [f"target={name}", *settings]).target, data)


def chosen_units(target: FeatureNet, layer: str, count: int) -> list[Objective]:
    """Returns units spread over a layer."""
    total = target.layer(layer).units
    return [parse_units(f"{layer}:{i}", target)[0] for i in np.linspace(0, total - 1, count).astype(int)]


def measure(prior: Prior, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns a row for each search."""
    target, rows = searched(prior, options.target), []
    for layer in options.layers or dict.fromkeys([prior.layer, target.class_layer()]):
        units = chosen_units(target, layer, options.units)
        seeds = [options.first_seed + seed for seed in range(options.seeds)]
        gradient = methods.dgn_am(target, units, prior=prior, seeds=seeds)
        reached = dict(zip(zip(gradient.objectives, gradient.seeds, strict=True), gradient.activations, strict=True))
        for noise in options.noise:
            for strategy in options.strategies:
                began = time.perf_counter()
                for unit in units:
                    for seed in seeds:
                        full = float(reached[unit, seed])
                        found = search(prior, target, unit, strategy, noise, seed)
                        rows.append(
                            {"layer": layer, "noise": noise, "strategy": strategy, "unit": str(unit), "seed": seed,
                             "gradient": full, **found}
                        )  # fmt: skip
                own = [row for row in rows if (row["layer"], row["noise"], row["strategy"]) == (layer, noise, strategy)]
                seconds = time.perf_counter() - began
                print(f"{layer}  noise {noise:g}  {strategy:14s} {fraction(own, 'best'):.3f} best, "
                      f"{fraction(own, 'centre'):.3f} centre, {seconds:.0f} s", flush=True)  # fmt: skip
    return rows


def fraction(rows: list[dict[str, Any]], of: str) -> float:
    """Returns the mean fraction of the gradient's activation."""
    return float(np.mean([row[of] / row["gradient"] for row in rows if row["gradient"] > 0]))


def table(rows: list[dict[str, Any]], about: str) -> str:
    """Returns the results as a Markdown table, each block in the order of its fractions."""
    lines = [about, "", "| layer | noise | strategy | best | centre | published |", "|---|---|---|---|---|---|"]
    groups: dict[tuple[str, float], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["layer"], row["noise"]][row["strategy"]].append(row)
    for (layer, noise), strategies in groups.items():
        published = PUBLISHED.get((layer, noise), {})
        for strategy, own in sorted(strategies.items(), key=lambda item: -fraction(item[1], "best")):
            known = published.get(strategy)
            cells = [layer, f"{noise:g}", f"`{strategy}`", f"{fraction(own, 'best'):.3f}",
                     f"{fraction(own, 'centre'):.3f}", f"{known:.3f}" if known else ""]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", nargs="?")
    parser.add_argument("--target", nargs="+", default=[], help="a network of conf/target, with its settings")
    parser.add_argument("--layers", nargs="+", help="default: the prior's layer and that of the classes")
    parser.add_argument("--units", type=int, default=3, help="units of each layer, spread over it")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.2, 0.5])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--out", type=Path, default=Path("outputs/black_box"))
    options = parser.parse_args()
    prior = Prior.load(find_prior(options.prior))
    rows = measure(prior, options)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "black_box.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    about = f"{prior.source}: {options.units} units of each layer, {options.seeds} seeds, {GENERATIONS} x 40 images"
    text = table(rows, about)
    (options.out / "black_box.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
