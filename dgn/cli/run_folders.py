"""The runs to compare: folders of runs and multiruns, prior files, shared priors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgn.errors import UserError
from dgn.prior.hub import fetch, is_shared
from dgn.report.run_comparison import Entry
from dgn.runs.folders import CONFIG, FAILED, METRICS, PRIOR, numbered

RESULTS = "results.json"
"""The results that visualize.py writes into its folder."""


@dataclass(frozen=True)
class Place:
    """A run or prior to compare.

    Args:
        path: The folder of a run, or a prior file.
        called: Its name if its settings do not distinguish it.
        given: The name of a shared prior, by which it is loaded.
    """

    path: Path
    called: str
    given: str | None = None


def places_of(runs: Sequence[str]) -> list[Place]:
    """Returns the places to compare: run folders (the jobs of a multirun), prior files, shared priors."""
    places: dict[Path, Place] = {}  # without duplicates
    for given in map(str, runs):
        if is_shared(given):
            path = fetch(given)
            places[path.resolve()] = Place(path, given, given)
            continue
        run = Path(given)
        if run.is_file() and run.suffix == ".safetensors":
            places[run.resolve()] = Place(run, run.resolve().parent.name)
            continue
        if not run.is_dir():
            raise UserError(
                f"{run}: no such folder; give folders of train.py, visualize.py or of their multiruns, prior files, or "
                "shared priors (hf:, wandb:)"
            )
        jobs = [run] if any((run / name).exists() for name in (CONFIG, RESULTS, ".hydra")) else numbered(run)
        places |= {job.resolve(): Place(job, job.name) for job in jobs}
        if not jobs:
            raise UserError(f"{run} is no run's folder: neither {CONFIG} nor {RESULTS} is there, nor numbered jobs")
    if not places:
        raise UserError("no runs to compare; give their folders")
    return list(places.values())


def entry_of(place: Place) -> Entry:
    """Returns the entry of a place before any measurement: its status and its prior."""
    run = place.path
    if run.is_file():
        return Entry(place.called, run, "finished", prior=place.given or str(run))
    prior = str(run / PRIOR) if (run / PRIOR).is_file() else None
    if (run / FAILED).is_file():
        return Entry(run.name, run, "failed", json.loads((run / FAILED).read_text(encoding="utf-8"))["error"])
    done = (run / METRICS).is_file() or (run / RESULTS).is_file()
    return Entry(run.name, run, "finished" if done else "unfinished", prior=prior)
