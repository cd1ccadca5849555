"""The runs to compare: folders of runs and multiruns, prior files, shared priors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgn.errors import UserError
from dgn.prior.hub import fetch, is_shared
from dgn.records import read_json
from dgn.report.run_comparison import Entry
from dgn.runs.folders import CONFIG, FAILED, PRIOR, RESULTS, finished, numbered


@dataclass(frozen=True)
class RunLocation:
    """Where a run or prior to compare is.

    Attributes:
        path: The folder of a run, or a prior file.
        name: Its name if its settings do not distinguish it.
        shared_name: The name by which a shared prior is loaded; None for other priors and for runs.
    """

    path: Path
    name: str
    shared_name: str | None = None


def locate_runs(runs: Sequence[str]) -> list[RunLocation]:
    """Finds the runs to compare, without duplicates.

    Args:
        runs: Run folders, multirun folders (which stand for their jobs), prior files, and names of shared priors.

    Raises:
        UserError: If one of them does not exist or is not a run.
    """
    locations: dict[Path, RunLocation] = {}
    for name in map(str, runs):
        if is_shared(name):
            path = fetch(name)
            locations[path.resolve()] = RunLocation(path, name, name)
            continue
        run = Path(name)
        if run.is_file() and run.suffix == ".safetensors":
            locations[run.resolve()] = RunLocation(run, run.resolve().parent.name)
            continue
        if not run.is_dir():
            raise UserError(
                f"{run}: no such folder; give folders of train.py, visualize.py or of their multiruns, prior files, or "
                "shared priors (hf:, wandb:)"
            )
        jobs = [run] if any((run / file).exists() for file in (CONFIG, RESULTS, ".hydra")) else numbered(run)
        locations |= {job.resolve(): RunLocation(job, job.name) for job in jobs}
        if not jobs:
            raise UserError(
                f"{run} is not the folder of a run: it contains neither {CONFIG} nor {RESULTS}, nor numbered jobs"
            )
    if not locations:
        raise UserError("no runs to compare; give their folders")
    return list(locations.values())


def make_entry(location: RunLocation) -> Entry:
    """Returns the entry of a run before any measurement: its status and its prior."""
    run = location.path
    if run.is_file():
        return Entry(location.name, run, "finished", prior=location.shared_name or str(run))
    prior = str(run / PRIOR) if (run / PRIOR).is_file() else None
    if (run / FAILED).is_file():
        return Entry(run.name, run, "failed", str(read_json(run / FAILED).get("error", "")))
    return Entry(run.name, run, "finished" if finished(run) else "unfinished", prior=prior)
