"""The runs to compare: folders of runs and multiruns, prior files, shared priors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgn.errors import UserError
from dgn.prior.hub import fetch, is_shared
from dgn.report.results import RESULTS
from dgn.report.run_comparison import Entry
from dgn.runs.folders import CONFIG, FAILED, METRICS, PRIOR, numbered


@dataclass(frozen=True)
class RunLocation:
    """Where a run or prior to compare is.

    Attributes:
        path: The folder of a run, or a prior file.
        name: Its name if its settings do not distinguish it.
        given: The name of a shared prior, by which it is loaded.
    """

    path: Path
    name: str
    given: str | None = None


def locate_runs(runs: Sequence[str]) -> list[RunLocation]:
    """Returns where the runs to compare are: run folders (the jobs of a multirun), prior files, shared priors."""
    locations: dict[Path, RunLocation] = {}  # without duplicates
    for given in map(str, runs):
        if is_shared(given):
            path = fetch(given)
            locations[path.resolve()] = RunLocation(path, given, given)
            continue
        run = Path(given)
        if run.is_file() and run.suffix == ".safetensors":
            locations[run.resolve()] = RunLocation(run, run.resolve().parent.name)
            continue
        if not run.is_dir():
            raise UserError(
                f"{run}: no such folder; give folders of train.py, visualize.py or of their multiruns, prior files, or "
                "shared priors (hf:, wandb:)"
            )
        jobs = [run] if any((run / name).exists() for name in (CONFIG, RESULTS, ".hydra")) else numbered(run)
        locations |= {job.resolve(): RunLocation(job, job.name) for job in jobs}
        if not jobs:
            raise UserError(f"{run} is no run's folder: neither {CONFIG} nor {RESULTS} is there, nor numbered jobs")
    if not locations:
        raise UserError("no runs to compare; give their folders")
    return list(locations.values())


def make_entry(location: RunLocation) -> Entry:
    """Returns the entry of a run before any measurement: its status and its prior."""
    run = location.path
    if run.is_file():
        return Entry(location.name, run, "finished", prior=location.given or str(run))
    prior = str(run / PRIOR) if (run / PRIOR).is_file() else None
    if (run / FAILED).is_file():
        return Entry(run.name, run, "failed", json.loads((run / FAILED).read_text(encoding="utf-8"))["error"])
    done = (run / METRICS).is_file() or (run / RESULTS).is_file()
    return Entry(run.name, run, "finished" if done else "unfinished", prior=prior)
