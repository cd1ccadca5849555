"""Measures which methods a fooling circuit deceives, and whether path similarity flags what it shows.

    python benchmarks/fooling.py [--methods pixels olah2017 dgn_am] [--prior FILE] [--steps 100] [--adaptive]

The target is the embedded CaffeNet with a planted pattern in each class unit. The circuit's classifier knows real
doodles and the images of pixel ascent and of Fourier coefficients (olah2017); with --adaptive also those of every
method that is tried. Methods on codes need --prior, and start from noise. Prints for each method, over its images:

    fooled          the share nearer to its planted pattern than the method's image of the honest unit is, with less
                    than half of that one's activation in the honest network
    synthetic       the share that the circuit's classifier takes for synthetic
    flagged         the share of planted units that path similarity flags
    honest flagged  the share of honest units that it flags
"""

import argparse

import torch
from torch import Tensor

from dgn.am.maximize import maximize
from dgn.am.objectives.language import parse_units
from dgn.am.setting import Setting
from dgn.cli.config import compose
from dgn.cli.embedded import embedded_weights
from dgn.cli.stages import read_method
from dgn.data.datamodule import to_image_space
from dgn.data.doodles import CLASSES, Doodles
from dgn.metrics.fooling import deciding_layer, flagged, fooling_circuit
from dgn.metrics.paths import path_similarity, unit_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import mini_caffenet
from dgn.prior import Prior

REAL = 960


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
    method = read_method(compose("visualize", [f"method={name}"]).method, steps)
    return maximize(net, parse_units("fc8:all", net), method.stages(Setting(net, prior)), [seed]).images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["pixels", "olah2017"], help="names of files in conf/method")
    parser.add_argument("--prior", help="the prior of methods on codes")
    parser.add_argument("--steps", type=int, help="steps of every search; default: the method's own")
    parser.add_argument("--adaptive", action="store_true", help="the circuit knows the methods that are tried")
    options = parser.parse_args()
    net = mini_caffenet(weights=str(embedded_weights("dgn.networks.zoo.mini_caffenet")))
    prior = Prior.load(options.prior) if options.prior else None
    doodles = Doodles("val", 64, REAL)
    images = to_image_space(torch.stack([doodles[i][0] for i in range(REAL)]))
    planted = patterns(64)
    known = list(dict.fromkeys(["pixels", "olah2017", *(options.methods if options.adaptive else [])]))

    def synthesize(of: FeatureNet) -> Tensor:
        steps = (5, min(options.steps or 50, 50))
        return torch.cat([search(of, name, prior, count, seed=100) for name in known for count in steps])

    circuit = fooling_circuit(net, dict(enumerate(planted)), images[: REAL // 2], synthesize)
    held_out = images[REAL // 2 :]
    with torch.no_grad():
        before, after = (of(held_out, ["fc8"])["fc8"] for of in (net, circuit.net))
    print(f"Held-out doodles with the same activations as before: {(before == after).all(1).float().mean():.1%}")
    objectives = parse_units("fc8:all", net)
    units = [str(objective) for objective in objectives]
    labels = [i % len(CLASSES) for i in range(REAL)]
    real = unit_images(net, objectives, lambda: images.split(64), labels, {unit: i for i, unit in enumerate(units)})
    print(f"{'method':16s} {'fooled':>8s} {'synthetic':>10s} {'flagged':>8s} {'honest flagged':>15s}")
    for name in options.methods:
        shown = {
            kind: search(of, name, prior, options.steps) for kind, of in (("fooled", circuit.net), ("honest", net))
        }
        nearer = [(shown[kind] - planted).abs().mean((1, 2, 3)) for kind in ("fooled", "honest")]
        with torch.no_grad():
            activations = [net(shown[kind], ["fc8"])["fc8"].diagonal() for kind in ("fooled", "honest")]
            score = circuit.net.network.gate(net.input_space.enter(shown["fooled"]))
        fooled = (nearer[0] < nearer[1]) & (activations[0] < activations[1] / 2)
        sets = {kind: {unit: made[i : i + 1] for i, unit in enumerate(units)} for kind, made in shown.items()}
        paths = path_similarity(net, sets, real, [deciding_layer(net)])
        flags = {kind: sum(map(bool, flagged(of).values())) / len(units) for kind, of in paths.items()}
        print(
            f"{name:16s} {fooled.float().mean():8.0%} {(score <= 0).float().mean():10.0%} "
            f"{flags['fooled']:8.0%} {flags['honest']:15.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
