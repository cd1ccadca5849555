"""Measures whether drawing doodles is as fast as decoding JPEGs of the same pictures from memory.

    python benchmarks/doodles.py [--size 64] [--count 2000]

Prints pictures per second for one process and for a DataLoader with two workers, and the ratio doodles : JPEG.
"""

import argparse
import io
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dgn.data.doodles import Doodles


class Jpegs(Dataset):
    """The baseline: the same pictures as JPEG files (quality 90) in memory."""

    def __init__(self, doodles: Doodles) -> None:
        self.files, self.labels = [], []
        for image, label in (doodles[i] for i in range(len(doodles))):
            file = io.BytesIO()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=90)
            self.files.append(file.getvalue())
            self.labels.append(label)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = np.array(Image.open(io.BytesIO(self.files[index])).convert("RGB"))
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), self.labels[index]


def one_process(data: Dataset) -> float:
    """Returns pictures per second, read one after the other."""
    start = time.perf_counter()
    for index in range(len(data)):
        data[index]
    return len(data) / (time.perf_counter() - start)


def two_workers(data: Dataset) -> float:
    """Returns pictures per second of a DataLoader in its second epoch, when its workers have started."""
    loader = DataLoader(data, batch_size=100, num_workers=2, persistent_workers=True)
    for _ in range(2):
        start = time.perf_counter()
        for _ in loader:
            pass
    return len(data) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--count", type=int, default=2000, help="pictures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    doodles = Doodles("train", options.size, options.count)
    jpegs = Jpegs(doodles)
    print(f"{options.count} pictures of {options.size} px; pictures/s, best of 3")
    for name, measure in (("one process", one_process), ("two workers", two_workers)):
        drawn, read = (max(measure(data) for _ in range(3)) for data in (doodles, jpegs))
        print(f"{name:12s}  doodles {drawn:6.0f}   JPEG {read:6.0f}   doodles : JPEG = {drawn / read:.2f}")


if __name__ == "__main__":
    main()
