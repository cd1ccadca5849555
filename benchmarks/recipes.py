"""Compares training recipes at the same training time: reconstructions, and searches from noise.

    python benchmarks/recipes.py paper_short short --seeds 0 1 2 --seconds 300
    python benchmarks/recipes.py paper_short short --seconds 300 -- data=image_folder data.root=DIR ...
    python benchmarks/recipes.py --ablation --steps 1350

Overrides after -- are those of every training, also of networks of one's own (encoder=custom encoder.model=...).

Each recipe is trained by train.py with `recipe=NAME` (or with the overrides of a quoted NAME, "short code_noise=0"),
for as many steps as fit into the time: the cost of a step is measured first, as processor time divided by the number
of threads, so that other programs of the machine do not count. Columns:

PSNR        of reconstructions G(E(x)) of validation images, dB
features    |E(G) - E(x)| / |E(x)| at the layer of the encoder that is its trunk
Frechet     distance of the reconstructions to the images they are made from, in the judge's features
recognized  share of the reconstructions in whose class the judge puts them
lattice     peak of one spatial frequency in the spectrum of the reconstructions (`lattice`); 1: no peak
search      the same two for `dgn_am` from noise (4 seeds of each class), and the diversity of its pictures

The judge shares nothing with the networks that D looks through: --judge names its config (default: mini_resnet).
Means over seeds, with the half width of a 95% interval (Student's t).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from scipy import stats

from dgn import Prior, methods
from dgn.cli.config import compose, plain
from dgn.cli.networks import network
from dgn.metrics.diversity import diversity, perceptual
from dgn.metrics.features import extract_features
from dgn.metrics.scorer import class_index
from dgn.networks.featurenet import FeatureNet
from dgn.prior.frechet import frechet
from dgn.training.losses import relative_error

ABLATION = (
    "short",
    "short discriminator=conv adversarial=cross_entropy",
    "short loss=short",
    "short discriminator.layers=[relu2,relu5,pool5]",
    "short comparator.layers=auto",
    "short code_noise=0",
    "short generator=upconv",
    "short loss.pixel=l2",
    "short loss.adversarial_start=0 loss.adversarial_ramp=0",
    "short progressive.until=0.6",
    "short comparator_shift=3",
    "short discriminator.pixels=32",
    "short adversarial=relativistic",
    "short generator=modulated optimizer.lr=1e-3",
    "paper_short",
    "paper_short discriminator=features adversarial=hinge loss.balance=null",
    "paper_short loss=shares",
    "paper_short comparator.layers=several",
    "paper_short code_noise=0.5",
    "paper_short generator=smooth",
    "paper_short progressive.until=0.6",
)
"""--ablation: the default, with each part taken away, with each option; the paper's parts, with each of ours added."""
ROOT = Path(__file__).resolve().parent.parent
COLUMNS = (
    "steps",
    "seconds",
    "psnr",
    "features",
    "frechet",
    "recognized",
    "lattice",
    "search",
    "search_frechet",
    "diversity",
)


def train(name: str, seed: int, steps: int, folder: Path, overrides: list[str]) -> float:
    """Trains a prior by train.py in a process of its own; returns its processor time per thread, in seconds."""
    words = name.split()
    recipe = [f"recipe={words[0]}"] if "=" not in words[0] else words[:1]
    command = [sys.executable, str(ROOT / "train.py"), *recipe, *words[1:], *overrides, f"seed={seed}"]
    command += [f"trainer.max_steps={steps}", f"hydra.run.dir={folder}", "comparison.enabled=false"]
    before = _children()
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return (_children() - before) / torch.get_num_threads()


def _children() -> float:
    import resource  # not on Windows

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cost(name: str, folder: Path, overrides: list[str], steps: tuple[int, int] = (20, 120)) -> tuple[float, float]:
    """Returns the processor time per thread of a run's start and end, and of a step, from two short runs."""
    few, many = (train(name, 0, n, folder / f"cost_{n}", [*overrides, "statistics.images=200"]) for n in steps)
    step = (many - few) / (steps[1] - steps[0])
    return few - steps[0] * step, step


@torch.no_grad()
def reconstruct(prior: Prior, images: torch.Tensor) -> torch.Tensor:
    """Returns G(E(x)) of images (N, 3, H, W) in image space."""
    return torch.cat([prior.decode(prior.encode(part)) for part in images.split(50)])


def judged(judge: FeatureNet, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the judge's features and its choice of class for each image."""
    return extract_features(judge, images), extract_features(judge, images, judge.class_layer()).argmax(1)


def lattice(made: torch.Tensor, real: torch.Tensor) -> float:
    """Returns how far one spatial frequency stands out in reconstructions (N, 3, S, S) of real images.

    At each frequency along rows and columns, the energy of the reconstructions is divided by that of the images. A
    generator that blurs has a ratio that falls with the frequency; a lattice is a peak in it. Returned is the largest
    ratio of a frequency to the mean of those 3 and 4 away on both sides, over frequencies from 5 periods on.
    """
    peaks = []
    for axis in (2, 1):
        energies = []
        for images in (made, real):
            grey = images.mean(1)
            spectrum = torch.fft.rfft(grey - grey.mean((1, 2), keepdim=True), dim=axis).abs().square()
            energies.append(spectrum.movedim(axis, -1).mean((0, 1)))
        ratio = energies[0] / energies[1]
        for at in range(5, len(ratio) - 4):
            around = ratio[[at - 4, at - 3, at + 3, at + 4]].mean()
            peaks.append(float(ratio[at] / around))
    return max(peaks)


def measure(
    path: Path, judge_overrides: list[str], images: int, units: int | None, overrides: list[str]
) -> dict[str, float]:
    """Returns the columns of the table for a prior that was trained with the overrides."""
    prior = Prior.load(path)
    config = {key: value for key, value in prior.about["data"].items() if key != "classes"}
    data = instantiate(config)
    judge = network(plain(compose("visualize", judge_overrides).judge), data)
    # A network of one's own is not in the prior's file.
    prior.offer(network(plain(compose("train", overrides).encoder), data))
    batches = list(data.real_images(images, "val"))
    real, labels = torch.cat([batch for batch, _ in batches]), torch.cat([label for _, label in batches])
    made = reconstruct(prior, real)
    encoder = prior.encoder_net()
    trunk = encoder.trunk()
    with torch.no_grad():
        distance = torch.cat([
            relative_error(encoder(a, [trunk])[trunk], encoder(b, [trunk])[trunk])
            for a, b in zip(made.split(50), real.split(50), strict=True)
        ]).mean()  # fmt: skip
    features, choice = judged(judge, made)
    real_features, _ = judged(judge, real)
    error = (made - real).square().flatten(1).mean(1)
    classes = range(len(data.classes) if units is None else units)
    layer = encoder.class_layer()
    preferred = methods.dgn_am(prior, [f"{layer}:{unit}" for unit in classes], seeds=4, start="noise", data=data)
    search_features, search_choice = judged(judge, preferred.images)
    wanted = torch.tensor([class_index(objective, data.classes) for objective in preferred.objectives])
    per_unit = diversity(preferred.images, wanted.tolist(), perceptual(judge, [judge.trunk()]))
    return {
        "psnr": float((-10 * error.log10()).mean()),
        "features": float(distance),
        "frechet": frechet(features, real_features),
        "recognized": float((choice == labels).float().mean()),
        "lattice": lattice(made, real),
        "search": float((search_choice == wanted).float().mean()),
        "search_frechet": frechet(search_features, real_features),
        "diversity": float(np.mean(list(per_unit.values()))),
    }


def row(name: str, results: list[dict[str, float]]) -> str:
    """Returns a row of the Markdown table: means, and half widths of intervals with several seeds."""
    cells = []
    for column in COLUMNS:
        values = np.array([result[column] for result in results])
        text = f"{values.mean():.3g}" if column not in ("steps", "seconds") else f"{values.mean():.0f}"
        if len(values) > 1 and column not in ("steps", "seconds"):
            half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
            text += f" +- {half:.2g}"
        cells.append(text)
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes, or quoted names with overrides")
    parser.add_argument("--ablation", action="store_true", help="the recipes of the ablation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=300, help="training time, start and validation included")
    parser.add_argument("--steps", type=int, help="the same number of steps for all, instead of the same time")
    parser.add_argument("--images", type=int, default=1000, help="validation images")
    parser.add_argument("--units", type=int, help="search the first units of the class layer only")
    parser.add_argument("--judge", nargs="+", default=["judge=mini_resnet"], help="overrides that name the judge")
    parser.add_argument("--out", type=Path, default=Path("outputs/recipes"))
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, overrides = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    print("| recipe | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1), flush=True)
    for name in [*options.recipes, *(ABLATION if options.ablation else ())]:
        folder = options.out / name.replace(" ", "_").replace("/", "-")
        if options.steps is None:
            fixed, step = cost(name, folder, overrides)
            steps = max(1, int((options.seconds - fixed) / step))
        else:
            steps = options.steps
        results = []
        for seed in options.seeds:
            run = folder / f"seed_{seed}"
            began = time.perf_counter()
            seconds = train(name, seed, steps, run, overrides)
            print(f"{name}, seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
            result = measure(run / "prior.safetensors", options.judge, options.images, options.units, overrides)
            results.append(result | {"steps": steps, "seconds": seconds})
            (run / "recipes.json").write_text(json.dumps(results[-1], indent=2))
        print(row(name, results), flush=True)


if __name__ == "__main__":
    main()
