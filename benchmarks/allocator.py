"""Processor time of a network's forward and backward pass, with glibc's settings and with ours (dgn.runs.memory).

    python benchmarks/allocator.py [--model mobilenet_v2] [--image-size 224] [--batch 8]

Each setting runs in a process of its own. User time is the network's, system time the kernel's.
"""

import argparse
import resource
import subprocess
import sys

import torch
from torchvision import models

from dgn.runs.memory import keep_freed_memory


def measure(model: str, image_size: int, batch: int, rounds: int = 5) -> tuple[float, float]:
    """Returns user and system seconds of one pass: the smallest sum of several rounds."""
    torch.manual_seed(0)
    net = models.get_model(model, weights=None).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, image_size, image_size, requires_grad=True)
    times = []
    for _ in range(rounds + 1):  # the first takes memory for the first time
        before = resource.getrusage(resource.RUSAGE_SELF)
        net(images)[:, 0].sum().backward()
        after = resource.getrusage(resource.RUSAGE_SELF)
        times.append((after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime))
    return min(times[1:], key=sum)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mobilenet_v2", help="a model of torchvision")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--setting", choices=("default", "kept"), help="measure one setting in this process")
    options = parser.parse_args()
    if options.setting:
        if options.setting == "kept" and not keep_freed_memory():
            print("kept: not available here")
            return
        user, system = measure(options.model, options.image_size, options.batch)
        print(f"{options.setting}: {user:.3f} s user, {system:.3f} s system")
        return
    for setting in ("default", "kept"):
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--setting", setting], check=True)


if __name__ == "__main__":
    main()
