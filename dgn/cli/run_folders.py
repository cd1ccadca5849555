"""Where what is compared lies: folders of runs, multiruns, prior files, shared priors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgn.errors import UserError
from dgn.prior.hub import fetch, is_shared
from dgn.report.run_comparison import Entry
from dgn.runs.folders import CONFIG, FAILED, METRICS, PRIOR, numbered

RESULTS = "results.json"
"""What visualize.py leaves in its folder."""


@dataclass(frozen=True)
class Place:
    """path: a run's folder, or a prior file alone. called: what names it where its settings do not. given: a shared
    prior's name, by which it is loaded."""

    path: Path
    called: str
    given: str | None = None


def places_of(runs: Sequence[str]) -> list[Place]:
    """What is to be compared: run folders (a multirun's are its jobs'), prior files, shared priors."""
    found: dict[Path, Place] = {}  # one that is named twice is one
    for given in map(str, runs):
        if is_shared(given):
            path = fetch(given)
            found[path.resolve()] = Place(path, given, given)
            continue
        run = Path(given)
        if run.is_file() and run.suffix == ".safetensors":
            found[run.resolve()] = Place(run, run.resolve().parent.name)
            continue
        if not run.is_dir():
            raise UserError(
                f"{run}: no such folder; give folders of train.py, visualize.py or of their multiruns, prior files, or "
                "shared priors (hf:, wandb:)"
            )
        jobs = [run] if any((run / name).exists() for name in (CONFIG, RESULTS, ".hydra")) else numbered(run)
        found |= {job.resolve(): Place(job, job.name) for job in jobs}
        if not jobs:
            raise UserError(f"{run} is no run's folder: neither {CONFIG} nor {RESULTS} is there, nor numbered jobs")
    if not found:
        raise UserError("no runs to compare; give their folders")
    return list(found.values())


def entry_of(place: Place) -> Entry:
    """What a comparison says of a place before anything is measured: how far it came, and where its prior is."""
    run = place.path
    if run.is_file():
        return Entry(place.called, run, "finished", prior=place.given or str(run))
    prior = str(run / PRIOR) if (run / PRIOR).is_file() else None
    if (run / FAILED).is_file():
        return Entry(run.name, run, "failed", json.loads((run / FAILED).read_text())["error"])
    done = (run / METRICS).is_file() or (run / RESULTS).is_file()
    return Entry(run.name, run, "finished" if done else "unfinished", prior=prior)
