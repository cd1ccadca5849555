"""Measures preferred images of ImageNet's classes, from noise, with judges that took no part (docs/real-images.md).

    python benchmarks/photos64.py PRIOR --data TINY/val --squeezenet FILE [--target lite0] [--methods dgn_am guided]

TINY/val holds photographs in folders named by WordNet ids, as Tiny-ImageNet's. The classes are drawn at random once and
for all: `--half choose` shows the first half, on which settings are chosen, `--half report` the other. Searches start
from noise, and no real image is used. Writes the pictures, a sheet of each method without names, and the table:

SqueezeNet  share of images whose class is among the five that SqueezeNet finds most probable
Lite2, own  the same, of EfficientNet-Lite2, and of the network whose units are shown
Frechet     distance to photographs of the same classes, in Lite2's pooled features
diversity   mean distance between two seeds of a class over that of photographs of the class, in SqueezeNet's maps

The first rows are photographs of the same classes and, for Lite0's units, their reconstructions G(E(x)).
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from dgn import Prior, methods
from dgn.data.imagenet import class_names, wnids
from dgn.data.images import as_images, save_png
from dgn.metrics.diversity import diversity, perceptual
from dgn.metrics.features import extract_features
from dgn.networks.custom import custom
from dgn.networks.featurenet import FeatureNet
from dgn.networks.libraries import torchvision
from dgn.prior.frechet import frechet
from dgn.prior.location import find_prior

LITE = str(Path(__file__).with_name("efficientnet_lite.py"))


def networks(squeezenet: Path) -> dict[str, FeatureNet]:
    """Returns the target and the judges by their names."""
    kept: dict[str, Any] = dict(mean=(127.0,) * 3, std=(128.0,) * 3, value_range=255.0, labels=list(class_names()))
    blue: dict[str, Any] = dict(
        mean=(104.0, 117.0, 123.0), std=(1.0,) * 3, value_range=255.0, channel_order="BGR", fit="resize"
    )
    return {
        "lite0": custom(f"{LITE}:lite0", input_size=128, **kept),
        "lite2": custom(f"{LITE}:lite2", input_size=260, **kept),
        "squeezenet": torchvision("squeezenet1_0", weights=str(squeezenet), input_size=227, **blue),
    }


def drawn_classes(data: Path, half: str, count: int) -> list[int]:
    """Returns the numbers of classes of one half of the folders, in an order drawn once and for all."""
    known = sorted(wnids().index(folder.name) for folder in data.iterdir() if folder.name in wnids())
    order = np.random.default_rng(0).permutation(known).tolist()
    middle = len(order) // 2
    return (order[:middle] if half == "choose" else order[middle:])[:count]


def photographs(data: Path, classes: Sequence[int], count: int) -> tuple[Tensor, list[int]]:
    """Returns the first `count` photographs of each class, (N, 3, H, W) in image space, and their classes."""
    paths = [(path, c) for c in classes for path in sorted((data / wnids()[c]).iterdir())[:count]]
    return torch.cat([as_images(Image.open(path).convert("RGB")) for path, _ in paths]), [c for _, c in paths]


class Measures:
    """Measures images of classes against photographs of them.

    Args:
        nets: `networks`.
        target: The name of the network whose units are shown.
        data: The folder of photographs.
        classes: The classes.
    """

    def __init__(self, nets: dict[str, FeatureNet], target: str, data: Path, classes: Sequence[int]) -> None:
        self.nets, self.target = nets, nets[target]
        self.real, self.labels = photographs(data, classes, 30)
        self.features = extract_features(nets["lite2"], self.real)
        self.space = perceptual(nets["squeezenet"], [nets["squeezenet"].trunk()])
        self.among = diversity(self.real, self.labels, self.space)

    def __call__(self, images: Tensor, classes: Sequence[int]) -> dict[str, float]:
        """Returns the columns of the table for images (N, 3, H, W) of classes."""
        judges = {"SqueezeNet": self.nets["squeezenet"], "Lite2": self.nets["lite2"], "own": self.target}
        row = {name: top5(net, images, classes) for name, net in judges.items()}
        row["Frechet"] = frechet(extract_features(self.nets["lite2"], images), self.features)
        own = diversity(images, list(classes), self.space)
        row["diversity"] = float(np.mean([own[c] / self.among[c] for c in own]))
        return row


def top5(net: FeatureNet, images: Tensor, classes: Sequence[int]) -> float:
    """Returns the share of images whose class is among the network's five most probable ones."""
    best = extract_features(net, images, net.class_layer()).topk(5, 1).indices
    return float((best == torch.tensor(classes)[:, None]).any(1).float().mean())


def written(name: str, row: dict[str, float], seconds: float) -> str:
    """Returns a row of the Markdown table."""
    shares = " | ".join(f"{row[judge]:.2f}" for judge in ("SqueezeNet", "Lite2", "own"))
    return f"| {name} | {shares} | {row['Frechet']:.1f} | {row['diversity']:.2f} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", help="prior file, run folder, checkpoint or the name of a prior in the package")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--squeezenet", type=Path, required=True, help="weights of torchvision's squeezenet1_0")
    parser.add_argument("--target", default="lite0", choices=["lite0", "lite2", "squeezenet"])
    parser.add_argument("--methods", nargs="*", default=["dgn_am_short", "guided", "dgn_am", "olah2017"])
    parser.add_argument("--half", default="report", choices=["choose", "report"])
    parser.add_argument("--classes", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="METHOD:KEY.KEY=NUMBER", help="settings of a method")
    parser.add_argument("--out", type=Path, default=Path("outputs/photos64"))
    options = parser.parse_args()
    nets = networks(options.squeezenet)
    path = find_prior(options.prior)
    prior = (Prior.from_checkpoint if path.suffix == ".ckpt" else Prior.load)(path)
    prior.offer(nets["lite0"])
    classes = drawn_classes(options.data, options.half, options.classes)
    measures = Measures(nets, options.target, options.data, classes)
    print("classes:", ", ".join(class_names()[c] for c in classes))
    print("| images | SqueezeNet | Lite2 | own | Frechet | diversity | seconds |\n" + "|---" * 7 + "|")
    print(written("photographs", measures(measures.real, measures.labels), 0), flush=True)
    with torch.no_grad():
        painted = torch.cat([prior.decode(prior.encode(part)) for part in measures.real.split(32)])
    print(written("reconstructions", measures(painted, measures.labels), 0), flush=True)
    units = [f"{measures.target.class_layer()}:{c}" for c in classes]
    for name in options.methods:
        began = time.perf_counter()
        preferred = getattr(methods, name)(
            measures.target, units, prior, seeds=options.seeds, start="noise", **settings(options.set, name)
        )
        seconds = time.perf_counter() - began
        searched = [classes[units.index(str(objective))] for objective in preferred.objectives]
        print(written(f"`{name}`", measures(preferred.images, searched), seconds), flush=True)
        preferred.save(options.out / options.target / name)
        first = [preferred.seeds.index(0, preferred.objectives.index(o)) for o in dict.fromkeys(preferred.objectives)]
        save_png(make_grid(preferred.images[first], 6, 2, pad_value=1.0), options.out / f"{options.target}_{name}.png")


def settings(given: Sequence[str], name: str) -> dict[str, Any]:
    """Returns the nested settings of a method, written METHOD:KEY.KEY=NUMBER."""
    nested: dict[str, Any] = {}
    for text in given:
        method, _, rest = text.partition(":")
        path, _, value = rest.partition("=")
        if method == name:
            *keys, last = path.split(".")
            place = nested
            for key in keys:
                place = place.setdefault(key, {})
            place[last] = int(value) if value.isdigit() else float(value)
    return nested


if __name__ == "__main__":
    main()
