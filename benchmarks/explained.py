"""Measures how much of the variance of pixels the codes of layers explain (docs/recipes.md, "Photographs").

    python benchmarks/explained.py LAYER [LAYER ...] [--images 2000] [-- overrides of train.py]

A layer "auto" is the one that train.py inverts. Beside the share R^2 of a ridge regression on held-out images
(`dgn.training.explained`) stand the shares of the gradient that follow for loss=shares.
"""

import argparse
import sys

import torch
from hydra.utils import instantiate

from dgn.cli.config import compose, plain
from dgn.cli.networks import network
from dgn.training.explained import PixelRegression


@torch.no_grad()
def main() -> None:
    """Prints a row for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="+")
    parser.add_argument("--images", type=int, default=2000)
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, overrides = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    config = compose("train", ["logger=none", *overrides])
    data = instantiate(plain(config.data))
    encoder, losses = network(plain(config.encoder), data), instantiate(config.loss)
    print("| layer | code | explained | image, feature, adversarial |\n|---|---|---|---|")
    for name in options.layers:
        layer = encoder.code_layer() if name == "auto" else name
        regression = PixelRegression(options.images)
        for images, _ in data.real_images(options.images, "train"):
            codes = encoder(images, [layer])[layer]
            regression.add(images, codes)
        explained = regression.explained()
        ours = losses.for_codes(explained)
        shares = ", ".join(f"{share:.2f}" for share in (ours.image, ours.feature, ours.adversarial))
        shown = "too few images" if explained is None else f"{explained:.2f}"
        print(f"| {layer} | {'x'.join(map(str, codes.shape[1:]))} | {shown} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
