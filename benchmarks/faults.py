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
import csv
import ctypes
import errno
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import psutil
import torch
from safetensors.torch import load_file

os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
ROOT = Path(__file__).resolve().parents[1]
TINY = [
    *("encoder.weights=null", "data.train_images=96", "data.val_images=32", "data.batch_size=8", "threads=1"),
    *(
        "statistics.images=32",
        "generator.width=0.05",
        "code_model.steps=40",
        "code_model.width=16",
        "schedule.warmup=2",
    ),
    *("trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_steps=32", "trainer.val_check_interval=16"),
    *("checkpoint.every_n_steps=4", "data.num_workers=0", "trainer.enable_progress_bar=false"),
]
SMALL = ["encoder=mini_resnet", "encoder.width=8", "data.image_size=32", "trainer.max_steps=60", "data.batch_size=8",
         "data.train_images=96", "data.val_images=32", "trainer.accelerator=cpu", "trainer.precision=32-true",
         "checkpoint.every_n_steps=4", "data.num_workers=0", "threads=1"]  # fmt: skip
SEARCH = ["judge=none", "device=cpu", "threads=1", "reference_images=0"]
RUNS: dict[str, list[str]] = {
    "prior": ["train", *TINY, "logger=csv"],
    "prior, tracked by W&B": ["train", *TINY, "logger=wandb"],
    "encoder": ["train", "task=encoder", *SMALL],
    "code prior": ["train", "task=code_prior", "prior={prior}", "trainer.max_steps=60", "checkpoint.every_n_steps=4",
                   "data=doodles", "data.train_images=96", "data.val_images=16", "data.cache=none", "logger=none",
                   "trainer.accelerator=cpu", "trainer.precision=32-true", "threads=1"],
    "visualize": ["visualize", *SEARCH, "prior={prior}", "units=fc8:0-7", "seeds=2", "batch_size=2", "steps=12"],
    "search without gradients": ["visualize", *SEARCH, "prior={prior}", "units=fc8:0-3", "seeds=1", "batch_size=1",
                                 "method=cma_sphere", "steps=6"],
    "multirun": ["train", "-m", *TINY, "trainer.max_steps=8,12", "comparison.enabled=false", "logger=none"],
    "two processes (DDP)": ["train", *TINY, "trainer=ddp_cpu", "logger=none"],
}  # fmt: skip
PR_SET_CHILD_SUBREAPER = 36


def begin(arguments: list[str], log: Path, prepare: Callable[[], object] = lambda: None) -> int:
    """Forks a process that runs a program as a user does, in a session of its own; returns its number."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    status = 1
    try:
        prepare()
        with log.open("a") as file, redirect_stdout(file), redirect_stderr(file):
            from dgn.cli import commands

            sys.argv = [f"{arguments[0]}.py", *arguments[1:]]
            try:
                getattr(commands, arguments[0])()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:  # as the interpreter does
                traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int, limit: float = 300.0) -> int:
    """Waits for a process; returns its status, or minus the signal that ended it."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    raise SystemExit(f"process {process} did not end within {limit} s")


def left_over(seconds: float = 30.0) -> list[int]:
    """Waits for processes that a killed one has left; returns those that do not end by themselves, and ends them."""
    deadline = time.monotonic() + seconds
    while True:
        alive = []
        for child in psutil.Process().children(recursive=True):
            if child.status() == psutil.STATUS_ZOMBIE:
                try:
                    os.waitpid(child.pid, os.WNOHANG)
                except ChildProcessError:
                    continue
            elif "resource_tracker" not in " ".join(child.cmdline()):
                alive.append(child)
        if not alive or time.monotonic() > deadline:
            for child in alive:
                child.kill()
            return [child.pid for child in alive]
        time.sleep(0.1)


def made(folder: Path) -> dict[str, object]:
    """What a run has made that the same command makes again: tensors, rows and pictures."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        if "searches" not in path.parts and "evolution" not in path.parts:
            found |= {f"{path.relative_to(folder)}:{k}": v for k, v in load_file(path).items()}
    for path in folder.rglob("results.csv"):
        rows = csv.DictReader(path.open(encoding="utf-8"))
        found[str(path.relative_to(folder))] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    for path in sorted(folder.rglob("images/*.png")):
        found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    if one.keys() != other.keys() or not one:
        return False
    return all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def run(name: str, folder: Path, prior: Path) -> list[str]:
    """The command of a run in a folder."""
    key = "hydra.sweep.dir" if "-m" in RUNS[name] else "hydra.run.dir"
    return [word.format(prior=prior) if "{prior}" in word else word for word in RUNS[name]] + [f"{key}={folder}"]


def resume(name: str, folder: Path, command: list[str]) -> list[str]:
    """The command that goes on: the same one where nothing was kept, or for a multirun."""
    if "-m" in command:
        return [*command, f"resume={folder}"] if (folder / "multirun.yaml").is_file() else command
    program = command[0]
    kept = ("checkpoints/last.ckpt", "checkpoints/previous.ckpt") if program == "train" else ("searches/run.json",)
    return [program, f"resume={folder}"] if any((folder / k).is_file() for k in kept) else command


def victim(process: int, chance: random.Random, ranks: bool) -> int:
    """The process to kill: the program, or one of its processes of DDP."""
    children = [c.pid for c in psutil.Process(process).children(recursive=True)] if ranks else []
    return chance.choice([process, *children])


def moments(count: int, seed: int, only: str, scratch: Path) -> None:
    names = [name for name in RUNS if only in name]
    prior, whole, durations = scratch / "prior/prior.safetensors", {}, {}
    ended(begin(run("prior", scratch / "prior", prior), scratch / "log"))
    for name in names:
        began = time.monotonic()
        status = ended(begin(run(name, scratch / f"whole-{name}", prior), scratch / "log"))
        durations[name] = time.monotonic() - began
        whole[name] = made(scratch / f"whole-{name}")
        print(f"{name}: {durations[name]:.1f} s uninterrupted, {len(whole[name])} parts, status {status}", flush=True)
        assert status == 0, (scratch / "log").read_text()[-3000:]
    table: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for i in range(count):
        name, chance = names[i % len(names)], random.Random(f"{seed}/{i}")
        folder, terminated = scratch / f"moment-{i}", chance.random() < 0.3
        command, row = run(name, folder, prior), table[name]
        process = begin(command, scratch / "log")
        time.sleep(chance.uniform(0.02, 1.0) * durations[name])
        try:
            number = signal.SIGTERM if terminated else signal.SIGKILL
            target = process if terminated else victim(process, chance, "DDP" in name)
            began = time.monotonic()
            os.kill(target, number)
            ended(process)
            row["term" if terminated else "kill"].append(time.monotonic() - began)
        except (ProcessLookupError, psutil.NoSuchProcess):  # it had finished
            ended(process)
        row["left"] += left_over()
        status = ended(begin(resume(name, folder, command), scratch / "log"))
        right = status == 0 and same(whole[name], made(folder))
        row["wrong"] += [] if right else [i]
        runs = {path.name.rpartition("-")[2] for path in folder.rglob("wandb/offline-run-*")}
        row["wandb"] += [i] if len(runs) > 1 else []
        if not right:
            print(f"moment {i}, {name}: status {status}, {(scratch / 'log').read_text()[-600:]}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    print("| | moments (kill -9, SIGTERM) | results that differ | processes left | further W&B runs | SIGTERM to end |")
    print(f"|{'---|' * 6}")
    for name, row in table.items():
        longest = f"{max(row['term']):.1f} s" if row["term"] else ""
        print(f"| {name} | {len(row['kill']) + len(row['term'])} ({len(row['kill'])}, {len(row['term'])}) | "
              f"{len(row['wrong'])} | {len(row['left'])} | {len(row['wandb'])} | {longest} |")  # fmt: skip


@contextmanager
def disk(folder: Path, options: str) -> Iterator[bool]:
    """Mounts a file system in memory on a folder; yields whether it could (as root, on Linux)."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], stderr=subprocess.DEVNULL)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def jumping_clock() -> None:
    """A clock that jumps an hour back and forth."""
    real, chance = time.time, random.Random(0)

    def jumping() -> float:
        return real() + chance.choice((-3600, 0, 3600))

    mock.patch("time.time", jumping).start()


def stalling_share() -> None:
    """A share of which every rename takes two seconds, and one in five fails once."""
    real, calls = os.replace, [0]

    def slow(*names: object, **options: object) -> None:
        time.sleep(2)
        calls[0] += 1
        if calls[0] % 5 == 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(names[-1]))
        real(*names, **options)  # type: ignore[arg-type]

    mock.patch("os.replace", slow).start()


def dying_worker() -> None:
    """A data worker that is killed in the middle."""
    from dgn.data.datamodule import Stream

    read, count = Stream.__getitems__, [0]

    def killed(self: Stream, positions: list[int]) -> list:
        count[0] += 1
        if count[0] == 3 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, positions)

    mock.patch.object(Stream, "__getitems__", killed).start()


def no_memory() -> None:
    """A training step that runs out of memory."""
    from dgn.training.inversion import Inversion

    step = Inversion.training_step

    def limited(self: Inversion, *arguments: object) -> None:
        if self.global_step >= 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self, *arguments)

    Inversion.training_step = limited


def faults(scratch: Path) -> None:
    """Runs a short training under each fault, and prints its last line."""
    ended(begin(run("prior", scratch / "warm", Path()), scratch / "warm.log"))  # the images are in the cache then
    cases: dict[str, tuple[Callable[[], object], list[str]]] = {
        "clock that jumps": (jumping_clock, []),
        "share that stalls": (stalling_share, []),
        "data worker that dies": (dying_worker, ["data.num_workers=2"]),
        "out of memory": (no_memory, []),
    }
    for name, (prepare, further) in cases.items():
        log, folder = scratch / f"{name}.log", scratch / name.replace(" ", "-")
        began = time.monotonic()
        command = run("prior", folder, Path()) + further
        status = ended(begin(command, log, prepare))
        lines = log.read_text().strip().splitlines()
        print(f"{name}: status {status}, {time.monotonic() - began:.0f} s, traceback {'Traceback' in log.read_text()}")
        print(f"    {lines[-1].replace(str(scratch), '')[:400]}", flush=True)
        if status:  # what was kept goes on once the fault is gone
            status = ended(begin(resume("prior", folder, command), log))
            print(f"    afterwards: status {status}", flush=True)
    for name, options in (("full disk", "size=2m"), ("read-only disk", "ro")):
        with disk(scratch / name, options) as mounted:
            if not mounted:
                print(f"{name}: not tried, as no file system can be mounted here")
                continue
            log, folder = scratch / f"{name}.log", scratch / name / "run"
            status = ended(begin(run("prior", folder, Path()), log))
            line = log.read_text().strip().splitlines()[-1].replace(str(scratch), "")
            print(f"{name}: status {status}, traceback {'Traceback' in log.read_text()}\n    {line[:400]}", flush=True)
            if options == "size=2m":  # what was kept goes on when there is space
                subprocess.run(["mount", "-o", "remount,size=200m", str(scratch / name)], check=True)
                status = ended(begin(resume("prior", folder, run("prior", folder, Path())), log))
                print(f"    afterwards: status {status}", flush=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("moments", nargs="?", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="runs with this word in their name")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    options = parser.parse_args()
    if sys.platform == "linux":  # processes that lose their parent become ours
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    torch.set_num_threads(1)
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
            moments(options.moments, options.seed, options.only, Path(scratch))


if __name__ == "__main__":
    main()
