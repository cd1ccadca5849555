"""Trains one recipe, with no key of it changed, on layers of several architectures: maps, vectors and tokens.

    python benchmarks/recipe_networks.py FOLDER [--steps 300] [--recipe short]

FOLDER holds photographs (FOLDER/CLASS/*.jpg, or a flat folder). The networks are torchvision's with random weights, at
64 px, so that nothing is downloaded. Prints a Markdown table; each run is train.py in a process of its own. Columns:

code        shape of the layer's code
seconds     processor time of the run, divided by the number of threads
distance    |C(G(y)) - C(x)| / |C(x)| in training, the mean of the first and of the last twentieth of the steps
PSNR        the same two for PSNR, dB
finite      whether all logged values are finite (a loss that is not ends the run)
diversity   mean distance of two pictures in pixel space, divided by that of two held-out photographs: of their
            reconstructions, and of draws from the code model. 0: all alike (collapse)
"""

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from statistics import mean

import torch
from recipes import reconstruct, train

from dgn import Prior
from dgn.data.sources import image_folder
from dgn.metrics.diversity import mean_distance, pixels

NETWORKS = (
    ("resnet18", "auto", ""),
    ("resnet18", "layer3", ""),
    ("vgg11_bn", "features", ""),
    ("convnext_tiny", "features.5", ""),
    ("vit_b_16", "encoder", "args.image_size=64"),
)
"""Name, layer (auto: what the classifier sees), and a further key of the encoder."""
SIDE = 64


def overrides(name: str, layer: str, further: str, folder: Path, steps: int) -> list[str]:
    """Returns the overrides of train.py: network, data and length, nothing of the recipe."""
    chosen = ["encoder=torchvision", f"encoder.name={name}", "encoder.weights=null", f"encoder.layer={layer}"]
    chosen += [f"encoder.input_size={SIDE}", *([f"+encoder.{further}"] if further else [])]
    data = ["data=image_folder", f"data.root={folder}", f"data.image_size={SIDE}", "data.batch_size=16"]
    data += ["data.val_fraction=0.1", "data.val_images=100", "data.num_workers=0", "data.cache=ram"]
    log_every = max(1, steps // 100)
    return [
        *chosen,
        *data,
        f"trainer.log_every_n_steps={log_every}",
        "trainer.val_check_interval=0",
        "code_model.steps=300",
    ]


def measure(run: Path, folder: Path) -> dict[str, str]:
    """Returns the columns of the table for a run."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    curves = {}
    for column in ("train/feature_distance", "train/psnr"):
        values = [float(row[column]) for row in rows if row[column]]
        part = max(1, len(values) // 20)
        curves[column] = f"{mean(values[:part]):.2f} -> {mean(values[-part:]):.2f}"
    finite = all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
    prior = Prior.load(run / "prior.safetensors")
    data = image_folder(
        folder, image_size=SIDE, val_fraction=0.1, val_images=100, num_workers=0, cache="ram", batch_size=16
    )
    real = torch.cat([images for images, _ in data.real_images(100, "val")])
    with torch.no_grad():
        made = (reconstruct(prior, real), prior.decode(prior.sample(100, seed=0)).clamp(0, 1))
    diversity = [mean_distance(pixels(images)) / mean_distance(pixels(real)) for images in made]
    return {
        "code": "x".join(map(str, prior.generator.code_shape)),
        "distance": curves["train/feature_distance"],
        "PSNR": curves["train/psnr"],
        "finite": "yes" if finite else "NO",
        "diversity": ", ".join(f"{value:.2f}" for value in diversity),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--recipe", default="short", help="name of a recipe, or a quoted name with overrides")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--networks", nargs="+", help="rows to run, such as vit_b_16 or resnet18,layer3; default: all")
    parser.add_argument("--out", type=Path, default=Path("outputs/recipe_networks"))
    options = parser.parse_args()
    columns = ("code", "seconds", "distance", "PSNR", "finite", "diversity")
    print("| network, layer | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1), flush=True)
    for name, layer, further in NETWORKS:
        if options.networks and not {name, f"{name},{layer}"} & set(options.networks):
            continue
        run = options.out / f"{name}_{layer}"
        seconds = train(
            options.recipe, 0, options.steps, run, overrides(name, layer, further, options.folder, options.steps)
        )
        row = {"seconds": f"{seconds:.0f}", **measure(run, options.folder)}
        (run / "row.json").write_text(json.dumps(row, indent=2))
        print(f"| {name}, {layer} | " + " | ".join(row[column] for column in columns) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
