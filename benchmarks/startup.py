"""Measures the time from `python train.py` to the first step: `python benchmarks/startup.py [--turns N]`.

Each turn times new processes, one after the other: importing torch, Lightning (which imports torchmetrics, and that
what of scipy, matplotlib and transformers is installed), and the modules of this package that a training and a gallery
need; `train.py --help` and `encoder.layers=list`; then train.py until the end of its first step, with the default
settings and the embedded encoder already in the cache. Prints medians over the turns. On a busy
machine, compare the CPU seconds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = {
    "import torch": "import torch",
    "import pytorch_lightning": "import pytorch_lightning",
    "import all of a training": "import hydra, dgn.cli.entry, dgn.cli.job, dgn.cli.train_prior",
    "import all of a gallery": "import hydra, dgn.cli.entry, dgn.cli.visualize",
}
TRAIN = "import runpy; runpy.run_path('train.py', run_name='__main__')"
COMMANDS = ("--help", "encoder.layers=list")
TO_FIRST_STEP = """
import os, sys
import dgn.training.inversion as inversion
step = inversion.Inversion.training_step
def first(self, *arguments):
    step(self, *arguments)
    os._exit(0)
inversion.Inversion.training_step = first
import runpy
runpy.run_path("train.py", run_name="__main__")
"""


def seconds(code: str, *arguments: str) -> tuple[float, float]:
    """Returns the wall and CPU seconds of a new process that runs the code."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        time.perf_counter() - began,
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("settings", nargs="*", help="KEY=VALUE for train.py")
    options = parser.parse_args()
    seconds("from dgn.cli.embedded import embedded_weights as w; w('dgn.networks.zoo.mini_caffenet')")
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.turns):
            for name, code in IMPORTS.items():
                times.setdefault(name, []).append(seconds(code))
            for command in COMMANDS:
                times.setdefault(f"python train.py {command}", []).append(seconds(TRAIN, command))
            to_step = seconds(TO_FIRST_STEP, f"hydra.run.dir={folder}/{turn}", *options.settings)
            times.setdefault("python train.py to the end of its first step", []).append(to_step)
    for name, values in times.items():
        wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{wall:6.1f} s, {processor:5.1f} s of CPU time  {name}")


if __name__ == "__main__":
    main()
