"""Measures the peak memory of two long jobs: `python benchmarks/limits.py [multirun] [visualization]`.

`multirun`: four priors of 300 steps each in the default settings, one after the other, and their comparison.
`visualization`: one image for each of the 1,000 classes of a torchvision ResNet-18 (random weights, 64 px), ten steps,
through a prior that was trained for two steps, gallery included.

Prints the peak memory of all processes together and the seconds. Memory is the sum of the resident sets, in which
shared pages count once per process, so it is an upper bound. The limit is 4 GiB; above it the exit status is 1.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 4 * 2**30
STEPS = 300


def multirun(folder: Path) -> list[list[str]]:
    """Returns the commands of the multirun."""
    settings = ["encoder.layer=conv3,conv5,fc6,fc7", f"trainer.max_steps={STEPS}", f"hydra.sweep.dir={folder}/multirun"]
    return [["train.py", "-m", *settings]]


def visualization(folder: Path) -> list[list[str]]:
    """Returns the commands of the visualization: one that trains some prior, and the visualization itself."""
    prior = ["trainer.max_steps=2", "statistics.images=64", "data.val_images=16", f"hydra.run.dir={folder}/prior"]
    target = ["target=torchvision", "target.name=resnet18", "target.weights=null", "target.input_size=64"]
    shown = [f"prior={folder}/prior", "units=all", "seeds=1", "steps=10", f"hydra.run.dir={folder}/shown"]
    return [["train.py", *prior], ["visualize.py", *target, *shown]]


def run(command: list[str]) -> int:
    """Runs a command to its end and returns the peak memory of all its processes, in bytes."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, _resident(psutil.Process(process.pid)))
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}")
    return most


def _resident(process: psutil.Process) -> int:
    held = 0
    try:
        for member in (process, *process.children(recursive=True)):
            held += member.memory_info().rss
    except psutil.NoSuchProcess:  # it ended in the meantime; the next measurement counts
        pass
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    jobs = {"multirun": multirun, "visualization": visualization}
    parser.add_argument("jobs", nargs="*", default=list(jobs), help=", ".join(jobs))
    options = parser.parse_args()
    worst = 0
    for name in options.jobs:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            most = max(run(command) for command in jobs[name](Path(folder)))
            print(f"{name}: {most / 2**30:.2f} GiB at most, {time.perf_counter() - began:.0f} s", flush=True)
            worst = max(worst, most)
    sys.exit(int(worst > LIMIT))


if __name__ == "__main__":
    main()
