"""Measures the images/s of every image source of dgn, compared with torchvision's ImageFolder.

    python benchmarks/images.py [ROOT] [--workers 2]

ROOT has one folder per class; without it, JPEGs of 500 x 375 are generated first. The baseline decodes with
Pillow, and scales, crops and mirrors Pillow images. All sources give uint8 batches of the same size through equal
DataLoaders. Epochs of the sources alternate, so that a busy machine slows all alike. The reported ratio is the median
over epochs of the ratio to the baseline in the same epoch. The first epoch is not measured; after it, the files are in
the page cache.
"""

import argparse
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import transforms

from dgn.data.image_folder import ImageFolder
from dgn.data.images import jpeg_decoder
from dgn.data.loading import collate
from dgn.data.packed import InMemory, PackedImages, pack
from dgn.data.transforms import EvalTransform

RIVAL = "torchvision ImageFolder, Pillow"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", help="class folders of pictures; default: generated pictures")
    parser.add_argument("--image-size", type=int, default=227)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--needed", type=float, default=6000, help="images/s that a training needs")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in workers; otherwise the waiting of OpenMP's threads would be measured
    with tempfile.TemporaryDirectory() as folder:
        options.root = options.root or make_pictures(Path(folder) / "jpegs")
        loaders = {
            name: DataLoader(
                dataset,
                options.batch_size,
                shuffle=True,
                num_workers=options.workers,
                persistent_workers=options.workers > 0,
                collate_fn=default_collate if name == RIVAL else collate,
            )
            for name, dataset in sources(options, Path(folder)).items()
        }
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for loader in loaders.values():
            epoch(loader)  # workers start, files are cached
        for _ in range(options.epochs):
            for name, loader in loaders.items():
                rates[name].append(epoch(loader))
    print(f"JPEGs here are decoded by {jpeg_decoder()}; {options.workers} workers")
    rival = rates[RIVAL]
    for name, speeds in rates.items():
        ratio = statistics.median(a / b for a, b in zip(speeds, rival, strict=True))
        workers = math.ceil(options.needed / max(speeds) * max(1, options.workers))
        print(
            f"{name:32} {max(speeds):8.0f} images/s   {ratio:5.2f} x   "
            f"{options.needed:.0f} images/s take {workers} such workers"
        )


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
        RIVAL: rival,
        "dgn image_folder": own,
        "dgn packed file, cache=disk": PackedImages(folder / "packed", "train", **sizes, val_fraction=0),
        "dgn cache=ram": InMemory(own, options.workers or 1),
    }


def make_pictures(folder: Path, count: int = 400) -> Path:
    """Writes JPEGs with the size and spectrum of photographs (1/f noise) into one class folder."""
    noise = np.random.default_rng(0)
    height, width = 375, 500
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij"))
    falloff = 1 / np.maximum(frequency, 1 / width)
    (folder / "class").mkdir(parents=True)
    for i in range(count):
        spectrum = np.fft.rfft2(noise.standard_normal((3, height, width))) * falloff
        field = np.fft.irfft2(spectrum, s=(height, width))
        pixels = np.clip(128 + 60 * field / field.std(), 0, 255).astype(np.uint8)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / "class" / f"{i:04}.jpg", quality=90)
    return folder


def epoch(loader: DataLoader) -> float:
    """Returns the images per second of one pass."""
    started = time.perf_counter()
    count = sum(len(images) for images, _ in loader)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
