"""Images/s of every way to read pictures here, against torchvision's ImageFolder as people use it.

    python benchmarks/images.py ROOT [--workers 2]

ROOT holds class folders. The rival decodes with Pillow, and scales, crops and mirrors Pillow images; all give
uint8 batches of the same size through DataLoaders of the same shape. Epochs of the ways take turns, so that a
busy machine slows all alike; the best epoch counts. Files are in the page cache after the first, unmeasured one.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dgn.data.image_folder import ImageFolder
from dgn.data.packed import InMemory, PackedImages, pack
from dgn.data.transforms import EvalTransform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--image-size", type=int, default=227)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as workers do; without them OpenMP's waiting would be what is measured
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            name: DataLoader(
                dataset,
                options.batch_size,
                shuffle=True,
                num_workers=options.workers,
                persistent_workers=options.workers > 0,
            )
            for name, dataset in sources(options, Path(folder)).items()
        }
        best = {name: epoch(loader) and 0.0 for name, loader in ways.items()}  # workers start, files are cached
        for _ in range(options.epochs):
            for name, loader in ways.items():
                best[name] = max(best[name], epoch(loader))
    rival = best["torchvision ImageFolder, Pillow"]
    for name, rate in best.items():
        print(f"{name:32} {rate:8.0f} images/s   {rate / rival:5.2f} x")


def sources(options: argparse.Namespace, folder: Path) -> dict[str, Dataset]:
    rival = torchvision.datasets.ImageFolder(
        options.root,
        transforms.Compose(
            [
                transforms.Resize(options.resize),
                transforms.RandomCrop(options.image_size),
                transforms.RandomHorizontalFlip(),
                transforms.PILToTensor(),
            ]
        ),
    )
    sizes = {"image_size": options.image_size, "resize": options.resize}
    own = ImageFolder(options.root, "train", **sizes, val_fraction=0)
    squares = EvalTransform(options.resize, options.resize)
    started = time.perf_counter()
    pack(ImageFolder(options.root, "all", **sizes, transform=squares), folder / "packed", options.workers or 1)
    print(f"packed {len(own)} pictures in {time.perf_counter() - started:.1f} s")
    return {
        "torchvision ImageFolder, Pillow": rival,
        "dgn ImageFolder": own,
        "dgn PackedImages": PackedImages(folder / "packed", "train", **sizes, val_fraction=0),
        "dgn InMemory": InMemory(own, options.workers or 1),
    }


def epoch(loader: DataLoader) -> float:
    """Images per second of one pass."""
    started = time.perf_counter()
    count = sum(len(images) for images, _ in loader)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
