"""Measures which methods a fooling circuit deceives, and whether path similarity flags what it shows.

    python benchmarks/fooling.py [--methods pixels olah2017 dgn_am] [--prior FILE] [--network mini_resnet]
        [--steps 100] [--adaptive] [--pictures FOLDER]

The target is an embedded network with a planted pattern in each class unit. The circuit's classifier knows real
doodles and the images of pixel ascent and of Fourier coefficients (olah2017); with --adaptive also those of every
method that is tried. Methods on codes need --prior, which may be of another network, and start from noise. With
--pictures, FOLDER/METHOD.png shows the planted patterns, the images of the honest units and those of the planted ones.
The threshold of `flagged` was chosen on mini_caffenet; figures for mini_resnet are on a network that it does not know.

Prints for each method, over its images:

    fooled          the share nearer to its planted pattern than the method's image of the honest unit is, with less
                    than half of that one's activation in the honest network
    synthetic       the share that the circuit's classifier takes for synthetic
    flagged         the share of planted units that path similarity flags
    honest flagged  the share of honest units that it flags
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dgn.am.maximize import maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.am.setting import Setting
from dgn.cli.config import compose, plain
from dgn.cli.embedded import embedded_weights
from dgn.cli.stages import read_method
from dgn.data.datamodule import to_image_space
from dgn.data.doodles import CLASSES, Doodles
from dgn.data.images import image_grid, save_png
from dgn.metrics.fooling import FoolingCircuit, deciding_layer, flagged, fooling_circuit
from dgn.metrics.paths import RealOfUnit, path_similarity, unit_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.prior import Prior

REAL = 960
NETWORKS = {"mini_caffenet": mini_caffenet, "mini_resnet": mini_resnet}


def patterns(side: int) -> Tensor:
    """Rings, checks, crosses and stripes in four colours, (16, 3, side, side)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    shapes = [
        (12 * (x * x + y * y).sqrt()).sin() > 0,
        ((4 * x).floor() + (4 * y).floor()) % 2 > 0,
        (x.abs() < 0.25) | (y.abs() < 0.25),
        (9 * (x + y)).sin() > 0,
    ]
    colours = torch.tensor([[0.9, 0.2, 0.2], [0.2, 0.8, 0.3], [0.2, 0.3, 0.9], [0.9, 0.8, 0.1]])
    return torch.stack([torch.where(shapes[i // 4], colours[i % 4][:, None, None], 0.15) for i in range(16)])


def search(net: FeatureNet, name: str, prior: Prior | None, steps: int | None, seed: int = 0) -> Tensor:
    """Returns one image for each class unit, (16, 3, 64, 64)."""
    method = read_method(plain(compose("visualize", [f"method={name}"]).method), steps)
    return maximize(net, class_units(net), method.stages(Setting(net, prior)), [seed]).images


def class_units(net: FeatureNet) -> list[Objective]:
    return parse_units(f"{net.class_layer()}:all", net)


@torch.no_grad()
def logits(net: FeatureNet, images: Tensor) -> Tensor:
    """Returns the activations of the class units, (images, 16)."""
    return net(images, [net.class_layer()])[net.class_layer()]


def measure(net: FeatureNet, circuit: FoolingCircuit, planted: Tensor, shown: dict[str, Tensor]) -> tuple[float, float]:
    """Returns the shares of the planted units' images that are fooled, and that the classifier takes for synthetic."""
    nearer = [(shown[kind] - planted).abs().mean((1, 2, 3)) for kind in ("fooled", "honest")]
    activations = [logits(net, shown[kind]).diagonal() for kind in ("fooled", "honest")]
    fooled = (nearer[0] < nearer[1]) & (activations[0] < activations[1] / 2)
    with torch.no_grad():
        score = circuit.net.network.gate(net.input_space.enter(shown["fooled"]))
    return float(fooled.float().mean()), float((score <= 0).float().mean())


def share_flagged(net: FeatureNet, shown: dict[str, Tensor], real: Mapping[str, RealOfUnit]) -> dict[str, float]:
    """Returns the share of units that path similarity flags, for each kind of images."""
    units = [str(objective) for objective in class_units(net)]
    sets = {kind: {unit: made[i : i + 1] for i, unit in enumerate(units)} for kind, made in shown.items()}
    paths = path_similarity(net, sets, real, [deciding_layer(net)])
    return {kind: sum(map(bool, flagged(of).values())) / len(units) for kind, of in paths.items()}


def build(
    options: argparse.Namespace, net: FeatureNet, prior: Prior | None, planted: Tensor, real: Tensor
) -> FoolingCircuit:
    """Builds the circuit, whose classifier knows the searches that it is to fool."""
    known = list(dict.fromkeys(["pixels", "olah2017", *(options.methods if options.adaptive else [])]))

    def synthesize(of: FeatureNet) -> Tensor:
        steps = (5, min(options.steps or 50, 50))
        return torch.cat([search(of, name, prior, count, seed=100) for name in known for count in steps])

    return fooling_circuit(net, dict(enumerate(planted)), real, synthesize)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["pixels", "olah2017"], help="names of files in conf/method")
    parser.add_argument("--prior", help="the prior of methods on codes")
    parser.add_argument("--network", choices=NETWORKS, default="mini_caffenet", help="the embedded network")
    parser.add_argument("--steps", type=int, help="steps of every search; default: the method's own")
    parser.add_argument("--adaptive", action="store_true", help="the circuit knows the methods that are tried")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of what each method shows")
    options = parser.parse_args()
    net = NETWORKS[options.network](weights=str(embedded_weights(f"dgn.networks.zoo.{options.network}")))
    prior = Prior.load(options.prior) if options.prior else None
    doodles = Doodles("val", 64, REAL)
    images = to_image_space(torch.stack([doodles[i][0] for i in range(REAL)]))
    planted = patterns(64)
    circuit = build(options, net, prior, planted, images[: REAL // 2])
    held_out = images[REAL // 2 :]
    kept = (logits(net, held_out) == logits(circuit.net, held_out)).all(1).float().mean()
    print(f"Held-out doodles with the same activations as before: {kept:.1%}")
    objectives = class_units(net)
    labels = [i % len(CLASSES) for i in range(REAL)]
    classes = {str(objective): i for i, objective in enumerate(objectives)}
    real = unit_images(net, objectives, lambda: images.split(64), labels, classes)
    print(f"{'method':16s} {'fooled':>8s} {'synthetic':>10s} {'flagged':>8s} {'honest flagged':>15s}")
    for name in options.methods:
        shown = {
            kind: search(of, name, prior, options.steps) for kind, of in (("honest", net), ("fooled", circuit.net))
        }
        fooled, synthetic = measure(net, circuit, planted, shown)
        flags = share_flagged(net, shown, real)
        print(f"{name:16s} {fooled:8.0%} {synthetic:10.0%} {flags['fooled']:8.0%} {flags['honest']:15.0%}", flush=True)
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            rows = torch.cat([planted, *shown.values()])
            save_png(image_grid(rows, len(planted)), options.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
