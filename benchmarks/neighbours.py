"""Measures how much other processes slow a training: none, one or two busy processes, and a container's quota.

    python benchmarks/neighbours.py [REPEATS]

The baseline, in the same run, is torch with its default settings: one thread for each processor of the machine, which
spins while it waits. A busy process computes convolutions, as a training does, with one thread for each processor.
Under the quota (which needs root and control groups) a process may use half of the processors, but sees all of them.
Prints a table with the seconds of the same steps (the median over the repeats) and the ratio to running alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
STEPS = 150
SETTINGS = [
    *("encoder.weights=null", "data.train_images=512", "data.val_images=16", "statistics.images=64", "logger=none"),
    *(f"trainer.max_steps={STEPS}", f"trainer.val_check_interval={STEPS}", f"checkpoint.every_n_steps={STEPS}"),
    *("trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.enable_progress_bar=false"),
]
NEIGHBOUR = """
import torch
images, layer = torch.rand(8, 64, 64, 64), torch.nn.Conv2d(64, 64, 3, padding=1)
while True:
    layer(images)
"""
RIVAL = {"OMP_NUM_THREADS": str(os.cpu_count()), "GOMP_SPINCOUNT": "300000"}  # GNU OpenMP's own count
GROUP = Path("/sys/fs/cgroup/cpu/dgn-benchmark")


def seconds(environment: dict[str, str], folder: Path, before: list[str]) -> tuple[float, int]:
    """Returns the seconds that the steps took, and the number of threads used."""
    command = [*before, sys.executable, str(ROOT / "train.py"), *SETTINGS, f"hydra.run.dir={folder}"]
    result = subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    threads = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["threads"]
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["fit_seconds"], threads


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Runs `count` busy processes while the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def quota() -> Iterator[list[str] | None]:
    """Yields a command prefix that limits a command to half of the processors, as a container's quota does.

    Yields None if control groups cannot be created.
    """
    try:
        GROUP.mkdir()
        period = 100_000
        (GROUP / "cpu.cfs_period_us").write_text(str(period))
        (GROUP / "cpu.cfs_quota_us").write_text(str(period * max(1, (os.cpu_count() or 2) // 2)))
    except OSError:
        yield None
        return
    # In a container, the group is at the root of the control groups. A private mount has the same effect here.
    script = f'mount --bind {GROUP} {GROUP.parent} && echo $$ > {GROUP.parent}/cgroup.procs && exec "$@"'
    try:
        yield ["unshare", "--mount", "sh", "-c", script, "sh"]
    finally:
        GROUP.rmdir()


def main(repeats: int) -> None:
    table = Table(title=f"{STEPS} steps on {os.cpu_count()} processors: seconds (times as long as alone; threads)")
    for heading in ("", "alone", "beside one", "beside two", "half the processors"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as scratch, quota() as limited:
        for name, environment in (("torch as it is", RIVAL), ("dgn", {})):
            cells: list[str] = []
            alone = 0.0
            for busy, before in ((0, []), (1, []), (2, []), (0, limited)):
                if before is None:
                    cells.append("cannot be measured here")
                    continue
                runs = []
                for i in range(repeats):
                    folder = Path(scratch) / f"{name}-{len(cells)}-{i}".replace(" ", "-")
                    with neighbours(busy):
                        runs.append(seconds(environment, folder, before))
                median = statistics.median(time for time, _ in runs)
                alone = alone or median
                threads = ", ".join(str(number) for number in sorted({number for _, number in runs}))
                cells.append(f"{median:.0f} ({median / alone:.1f}x; {threads})")
            table.add_row(name, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
