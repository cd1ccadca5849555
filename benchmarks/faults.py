"""Kills runs at random moments and resumes them: `python benchmarks/faults.py [MOMENTS] [--seed N] [--only WORD]`.

Each moment starts one of the runs below in a folder of its own, ends a process of it with SIGKILL (or with SIGTERM, for
`terminated`) at a random time, waits for all its processes to be gone, resumes it with `resume=`, and compares what it
made with what an uninterrupted run made: all tensors and rows must be the same, bit for bit. Prints a table: moments,
results that differ, processes that were left, runs of W&B beyond one, and the longest time from SIGTERM to the end.

`--faults` runs the others: a full disk, a read-only folder, a clock that jumps, a data worker and a rank that die, a
share that stalls. `--soak MINUTES` trains and visualizes again and again in one process, and prints the slope of memory
and of open files, with a 95% interval. Runs are forked from a process that has imported torch, on one CPU thread.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from failures.machine import faults
from failures.moments import kill_and_resume, print_table
from failures.processes import adopt_orphans
from failures.soak import soak

os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("moments", nargs="?", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="runs with this word in their name")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    options = parser.parse_args()
    adopt_orphans()
    torch.set_num_threads(1)
    import dgn.cli.study
    import dgn.cli.train_code_prior
    import dgn.cli.train_encoder
    import dgn.cli.train_prior
    import dgn.cli.visualize  # noqa: F401 (imported once for all runs)

    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        if options.faults:
            faults(Path(scratch))
        elif options.soak:
            soak(options.soak, Path(scratch))
        else:
            print_table(kill_and_resume(options.moments, options.seed, options.only, Path(scratch)))


if __name__ == "__main__":
    main()
