"""Runs that are killed at random moments, and resumed."""

import os
import random
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil

from failures.processes import begin, descendants, ended, left_over
from failures.programs import OF_SEVERAL_PROCESSES, OUTLIVING, RUNS, resume, run
from failures.results import made, same

Table = dict[str, dict[str, list]]


def kill_and_resume(count: int, seed: int, only: str, scratch: Path) -> Table:
    """Ends runs at `count` random moments, resumes them, and compares them with uninterrupted ones.

    Prints each moment's outcome, and the table after every round of the runs.

    Args:
        count: The number of moments, shared evenly among the runs.
        seed: Of the moments, the signals and the processes that get them.
        only: Runs with this word in their name.
        scratch: A folder for what they write.

    Returns:
        {run: {"kill", "term": seconds from the signal to the end of each moment; "left": processes; "wrong", "wandb":
        numbers of the moments with another result, or with more than one run of W&B}}.
    """
    names = [name for name in RUNS if only in name]
    log, prior = scratch / "log", scratch / "prior/prior.safetensors"
    ended(begin(run("prior", scratch / "prior", prior), log, cache_of(scratch / "prior")))
    whole, durations = {}, {}
    for name in names:
        folder, began = scratch / f"whole-{names.index(name)}", time.monotonic()
        status = ended(begin(run(name, folder, prior), log, cache_of(folder)))
        durations[name] = time.monotonic() - began
        whole[name] = made(folder)
        print(f"{name}: {durations[name]:.1f} s uninterrupted, {len(whole[name])} parts, status {status}", flush=True)
        assert status == 0, log.read_text()[-3000:]
        left_over()
    table: Table = defaultdict(lambda: defaultdict(list))
    for i in range(count):
        name, chance = names[i % len(names)], random.Random(f"{seed}/{i}")
        folder, row = scratch / f"moment-{i}", table[name]
        command, prepare = run(name, folder, prior), cache_of(folder)
        end_at_random(begin(command, log, prepare), name, durations[name], chance, row)
        left = left_over(600 if name in OUTLIVING else 30)
        status = ended(begin(resume(folder, command), log, prepare))
        right = status == 0 and same(whole[name], made(folder))
        runs = {path.name.rpartition("-")[2] for path in folder.rglob("wandb/offline-run-*")}
        row["left"] += left
        row["wrong"] += [] if right else [i]
        row["wandb"] += [i] if len(runs) > 1 else []
        outcome = "the same" if right else f"status {status}, {log.read_text()[-600:]}"
        print(f"moment {i}, {name}: {outcome}; {len(left)} processes left", flush=True)
        left_over()
        shutil.rmtree(folder, ignore_errors=True)
        if i % len(names) == len(names) - 1:
            print_table(table)
    return table


def cache_of(folder: Path) -> Callable[[], None]:
    """Gives a process a cache beside its folder, so that it finds nothing of others in it."""
    return lambda: os.environ.update(DGN_CACHE=str(folder.with_name(f"cache-{folder.name}")))


def end_at_random(process: int, name: str, duration: float, chance: random.Random, row: dict[str, list]) -> None:
    """Ends a run with SIGKILL, or its program with SIGTERM, at a random moment; notes the seconds in its row."""
    terminated = chance.random() < 0.3
    time.sleep(chance.uniform(0.02, 1.0) * duration)
    try:
        others = [child.pid for child in descendants(process)] if name in OF_SEVERAL_PROCESSES else []
        target = process if terminated else chance.choice([process, *others])
        began = time.monotonic()
        os.kill(target, signal.SIGTERM if terminated else signal.SIGKILL)
        ended(process)
        row["term" if terminated else "kill"].append(time.monotonic() - began)
    except (ProcessLookupError, psutil.NoSuchProcess):  # it had finished
        ended(process)


def print_table(table: Table) -> None:
    """Prints the table of docs/trust.md."""
    print("| | moments (kill -9, SIGTERM) | results that differ | processes left | further W&B runs | SIGTERM to end |")
    print(f"|{'---|' * 6}")
    for name, row in table.items():
        longest = f"{max(row['term']):.1f} s" if row["term"] else ""
        print(f"| {name} | {len(row['kill']) + len(row['term'])} ({len(row['kill'])}, {len(row['term'])}) | "
              f"{len(row['wrong'])} | {len(row['left'])} | {len(row['wandb'])} | {longest} |", flush=True)  # fmt: skip
