"""Run folders: their files, the folder to resume, and the results of a run."""

import datetime
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path

import yaml

from dgn.errors import UserError

OUTPUTS = Path("outputs")
CHECKPOINT = Path("checkpoints") / "last.ckpt"
PREVIOUS = Path("checkpoints") / "previous.ckpt"
"""The checkpoint before the last one."""
PRIOR = "prior.safetensors"
ENCODER = "encoder.safetensors"
CODE_PRIOR = "code_prior.safetensors"
CONFIG = "config.yaml"
METRICS = "metrics.json"
FAILED = "failed.json"
MULTIRUN = "multirun.yaml"


def new_folder(task: str, name: str | None = None) -> Path:
    """Creates the folder of a new run, outputs/TASK/DATE_TIME, with a suffix if it exists.

    Args:
        task: The task.
        name: Name shared by the processes of a run. If given, returns outputs/TASK/NAME without creating it.

    Raises:
        UserError: If the folder cannot be created.
    """
    if name is not None:
        return OUTPUTS / task / name
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for count in itertools.count(1):
        folder = OUTPUTS / task / (stamp if count == 1 else f"{stamp}_{count}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(
                f"cannot make the folder {folder}: {error.strerror}; name another with hydra.run.dir=FOLDER"
            ) from None
    return folder


def folder_to_resume(resume: str | None) -> Path | None:
    """Returns the run folder to resume.

    Args:
        resume: A run's folder, or "auto" for the newest unfinished run under outputs/.

    Returns:
        The folder, or None to start a new run.

    Raises:
        UserError: If `resume` is not a run's folder.
    """
    if resume is None:
        return None
    if resume == "auto":
        unfinished = [f.parent for f in OUTPUTS.glob(f"train/*/{CONFIG}") if not finished(f.parent)]
        return max(unfinished, key=lambda folder: (folder / CONFIG).stat().st_mtime, default=None)
    folder = Path(resume)
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"resume={resume}: no run to go on with there ({CONFIG} is missing); give a run's folder, or auto"
        )
    return folder


def command_of(folder: Path) -> str:
    """Returns the command that started a run, from the first line of its config."""
    return (folder / CONFIG).read_text().splitlines()[0].removeprefix("# ")


def finished(folder: Path) -> bool:
    """Returns whether a training run is finished."""
    return (folder / METRICS).is_file()


def holds_run(folder: Path) -> bool:
    """Returns whether a folder holds a checkpoint or metrics of a training run.

    A run that ended before its first checkpoint has neither, and its folder can be used again.
    """
    return any((folder / name).is_file() for name in (METRICS, CHECKPOINT, PREVIOUS))


def result(folder: Path, steps: int) -> Path | None:
    """Returns the result file of a run that has finished at least `steps` steps, else None."""
    if not finished(folder) or json.loads((folder / METRICS).read_text()).get("steps", 0) < steps:
        return None
    return next((folder / name for name in (PRIOR, ENCODER, CODE_PRIOR) if (folder / name).is_file()), None)


def measured(folder: Path, metric: str) -> float:
    """Returns a metric of a finished run; NaN for a validation metric if the run did not validate.

    Raises:
        UserError: If the run has no such metric.
    """
    metrics = json.loads((folder / METRICS).read_text())
    if metric.startswith("val/") and not any(name.startswith("val/") for name in metrics):
        return math.nan
    if metric not in metrics:
        raise UserError(f"metric={metric}: this run measured {', '.join(metrics)}; choose one of these")
    return float(metrics[metric])


def multirun_to_resume(resume: str | None, overrides: Iterable[str]) -> Path | None:
    """Returns the folder of the multirun to resume.

    Args:
        resume: A multirun's folder, or "auto" for the newest that the same command (except `resume`) started.
        overrides: Overrides of the command line.

    Returns:
        The folder, or None to start a new multirun.

    Raises:
        UserError: If `resume` is not a multirun's folder.
    """
    if resume is None:
        return None
    if resume != "auto":
        if not (Path(resume) / MULTIRUN).is_file():
            raise UserError(
                f"resume={resume}: no multirun to go on with there ({MULTIRUN} is missing); give a multirun's folder, "
                "or auto for the newest that the same command began"
            )
        return Path(resume)
    same_command = [
        path
        for path in OUTPUTS.glob(f"multirun/*/{MULTIRUN}")
        if _told(yaml.safe_load(path.read_text())["hydra"]["overrides"]["task"]) == _told(overrides)
    ]
    return max((path.parent for path in same_command), key=lambda folder: folder.name, default=None)


def numbered(multirun: Path) -> list[Path]:
    """Returns the folders of a multirun's jobs, ordered by number."""
    return sorted((f for f in multirun.iterdir() if f.is_dir() and f.name.isdigit()), key=lambda f: int(f.name))


def _told(overrides: Iterable[str]) -> list[str]:
    return sorted(override for override in overrides if not override.startswith("resume="))
