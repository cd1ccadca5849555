"""Memory and open files of a process that trains and visualizes again and again."""

import shutil
import statistics
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import psutil

from failures.programs import run


def soak(minutes: float, scratch: Path) -> None:
    """Trains and visualizes in this process, and fits a line to its memory and its open files."""
    from dgn.cli import commands

    process, points = psutil.Process(), []
    deadline, began = time.monotonic() + 60 * minutes, time.monotonic()
    i = 0
    while time.monotonic() < deadline:
        folder = scratch / f"soak-{i}"
        prior = folder / "train/prior.safetensors"
        for command in (run("prior", folder / "train", prior), run("visualize", folder / "gallery", prior)):
            sys.argv = [f"{command[0]}.py", *command[1:]]
            with (scratch / "log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
                getattr(commands, command[0])()
        shutil.rmtree(folder)
        i += 1
        if i > 2:  # the first fill caches
            points.append((time.monotonic() - began, process.memory_info().rss / 2**20, process.num_fds()))
    print(f"{i} trainings and {i} visualizations in {minutes:g} minutes")
    for column, unit in ((1, "MiB of memory"), (2, "open files")):
        x, y = [p[0] / 3600 for p in points], [p[column] for p in points]
        line = statistics.linear_regression(x, y)
        residual = sum((b - line.intercept - line.slope * a) ** 2 for a, b in zip(x, y, strict=True))
        spread = sum((a - statistics.fmean(x)) ** 2 for a in x)
        from scipy.stats import t

        half = t.ppf(0.975, len(x) - 2) * (residual / (len(x) - 2) / spread) ** 0.5
        per_turn = line.slope * (x[-1] - x[0]) / (len(x) - 1)
        slope = f"slope {line.slope:.1f} +- {half:.1f} an hour, {per_turn:.2f} a turn"
        print(f"{unit}: {y[0]:.0f} at first, {y[-1]:.0f} at last; {slope}")
