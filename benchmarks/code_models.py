"""Fits code models of several settings to the codes of a prior, and measures what they draw (docs/methods.md).

    python benchmarks/code_models.py PRIOR "" "axes=128 width=512 steps=2000 lr=1e-3" --judge judge=mini_resnet ...
    python benchmarks/code_models.py PRIOR "" --encoder encoder=custom encoder.model=... --judge ...

Each quoted argument has the settings of a fit that differ from the default's ("": the default). Columns:

seconds  of the fit
draws    Frechet distance of 1,000 pictures that the model draws to 1,000 real ones, in the judge's features; of each of
         two seeds of the draws

The rows above them are other real pictures, and reconstructions G(E(x)) of these.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace

import torch
from hydra.utils import instantiate
from torch import Tensor

from dgn import Prior
from dgn.cli.config import compose, plain
from dgn.cli.networks import network
from dgn.metrics.features import extract_features
from dgn.networks.featurenet import FeatureNet
from dgn.prior.code_model import CodeModel, to_codes, to_coordinates
from dgn.prior.frechet import frechet
from dgn.prior.location import find_prior
from dgn.prior.principal import PrincipalAxes
from dgn.training.code_model import CodeModelFit

_BATCH = 100
_COUNT = 1000


def fit_of(text: str) -> CodeModelFit:
    """Returns the default fit with the settings of "axes=64 lr=1e-3"."""
    default = CodeModelFit()
    pairs = (word.split("=") for word in text.split())
    return replace(default, **{key: type(getattr(default, key))(float(value)) for key, value in pairs})


@torch.no_grad()
def coordinates(prior: Prior, axes: PrincipalAxes, batches: Iterable[Tensor]) -> Tensor:
    """Returns the coordinates (N, k) of the codes of images."""
    return torch.cat([to_coordinates(prior.encode(batch), axes) for batch in batches])


@torch.no_grad()
def drawn(prior: Prior, axes: PrincipalAxes, model: CodeModel, seed: int) -> Tensor:
    """Returns pictures that a model draws, (1000, 3, H, W)."""
    rows = model.sample(_COUNT, torch.Generator().manual_seed(seed))
    weaker = rows.new_zeros(len(rows), axes.count - rows.shape[1])
    codes = to_codes(torch.cat([rows, weaker], 1), axes, prior.statistics.rectified)
    return torch.cat([prior.decode(part) for part in codes.split(_BATCH)])


def distance(judge: FeatureNet, images: Tensor, real: Tensor) -> float:
    """Returns the Frechet distance of images to features of real ones."""
    return frechet(extract_features(judge, images), real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--judge", nargs="+", default=["judge=mini_resnet"])
    parser.add_argument("--encoder", nargs="*", default=[], help="of a prior whose file does not hold its network")
    options = parser.parse_args()
    prior = Prior.load(find_prior(options.prior))
    data = instantiate({key: value for key, value in prior.about["data"].items() if key != "classes"})
    judge = network(plain(compose("visualize", options.judge).judge), data)
    if options.encoder:
        prior.offer(network(plain(compose("train", options.encoder).encoder), data))
    axes = prior.principal
    assert axes is not None, "the prior has no principal axes"
    shown = torch.cat([batch for batch, _ in data.real_images(_COUNT, "val")])
    train = [batch for batch, _ in data.real_images(16_000 + _COUNT, "train")]
    others = torch.cat(train)[-_COUNT:]
    real = extract_features(judge, others)
    rows, held_out = coordinates(prior, axes, train)[:-_COUNT], coordinates(prior, axes, shown.split(_BATCH))
    print("| settings | seconds | draws |\n|---|---|---|")
    print(f"| other real pictures | | {distance(judge, shown, real):.1f} |")
    with torch.no_grad():
        painted = torch.cat([prior.decode(prior.encode(batch)) for batch in shown.split(_BATCH)])
    print(f"| reconstructions | | {distance(judge, painted, real):.1f} |", flush=True)
    for text in options.settings:
        model, figures = fit_of(text).fit(rows, held_out, 0)
        assert model is not None, "too few codes"
        found = [distance(judge, drawn(prior, axes, model, seed), real) for seed in (0, 1)]
        print(
            f"| {text or 'default'} | {figures['code_model/seconds']:.0f} | {found[0]:.1f}, {found[1]:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
