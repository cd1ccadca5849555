"""Run folders: their files, and which runs can be resumed."""

import datetime
import itertools
import logging
import math
from collections.abc import Iterable
from pathlib import Path

from dgn.errors import UserError
from dgn.records import read_json, read_text, read_yaml
from dgn.runs.programs import command, override

log = logging.getLogger(__name__)

OUTPUTS = Path("outputs")
DEBUG = OUTPUTS / "debug"  # runs of debug=..., which no command looks in by itself
CHECKPOINT = Path("checkpoints") / "last.ckpt"
PREVIOUS = Path("checkpoints") / "previous.ckpt"
"""The checkpoint before the last one."""
PRIOR = "prior.safetensors"
ENCODER = "encoder.safetensors"
CODE_PRIOR = "code_prior.safetensors"
CONFIG = "config.yaml"
METRICS = "metrics.json"
RESULTS = "results.json"
"""Of a gallery: its settings and rows."""
PAGE = "index.html"
"""The page of a visualization."""
SEARCHES = "searches"
"""The folder with what an unfinished visualization has found."""
EVOLUTION = "evolution"
"""The folder with the generations of searches of targets that are no networks: codes and scores."""
STARTED = Path(SEARCHES) / "run.json"
"""How an unfinished visualization was started."""
FAILED = "failed.json"
MULTIRUN = "multirun.yaml"


def new_folder(task: str, name: str | None = None) -> Path:
    """Creates and returns outputs/TASK/DATE_TIME; runs that start in the same second get different folders.

    With a name, on which the processes of a run agree, returns outputs/TASK/NAME.

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


def folder_to_resume(resume: str | None, program: str = "train") -> Path | None:
    """Returns the run folder that `resume=` names: a folder, or `auto` for the newest unfinished run under outputs/.

    Returns None if there is no run to resume, and a new one starts.

    Args:
        resume: The value of `resume=`.
        program: The program whose runs are resumed: train, visualize or study.

    Raises:
        UserError: If the folder does not hold a run of the program.
    """
    if resume is None:
        return None
    if resume == "auto":
        unfinished = [f.parent for f in OUTPUTS.glob(f"{program}/*/{CONFIG}") if not finished(f.parent)]
        return max(unfinished, key=lambda folder: (folder / CONFIG).stat().st_mtime, default=None)
    folder = Path(resume)
    if not (folder / CONFIG).is_file():
        raise UserError(f"resume={resume}: no run to resume there ({CONFIG} is missing); give a run's folder, or auto")
    other = _program(folder)
    if other != program:
        resuming = command(other, override("resume", resume))
        raise UserError(f"resume={resume}: a run of {other}; resume it with `{resuming}`")
    return folder


def _program(folder: Path) -> str:
    """Returns the program that made a run, from its command, or else from its files."""
    started_by = [Path(word).stem.removeprefix("dgn-") for word in read_command(folder).split()[:2]]
    from_files = "visualize" if any((folder / name).is_file() for name in (STARTED, RESULTS, PAGE)) else "train"
    return next((program for program in ("train", "visualize", "study") if program in started_by), from_files)


def read_command(folder: Path) -> str:
    """Returns the command that started a run: the first line of its saved config."""
    return read_text(folder / CONFIG, "run's settings").partition("\n")[0].strip().removeprefix("# ")


def finished(folder: Path) -> bool:
    """Returns whether a training run or a visualization has finished. A gallery may be a partial one."""
    is_whole = any((folder / name).is_file() for name in (RESULTS, PAGE)) and not (folder / SEARCHES).exists()
    return (folder / METRICS).is_file() or is_whole


def holds_run(folder: Path) -> bool:
    """Returns whether a folder holds a checkpoint or the metrics of a training run.

    A run that failed or was stopped before its first checkpoint leaves neither, and its folder can be reused.
    """
    return any((folder / name).is_file() for name in (METRICS, CHECKPOINT, PREVIOUS))


def result(folder: Path, steps: int) -> Path | None:
    """Returns the file that a run made if it has finished with at least `steps` steps; else None."""
    if not finished(folder):
        return None
    done = read_json(folder / METRICS, "run's metrics").get("steps", 0)
    if not isinstance(done, int) or done < steps:
        return None
    return next((folder / name for name in (PRIOR, ENCODER, CODE_PRIOR) if (folder / name).is_file()), None)


def measured(folder: Path, metric: str) -> float:
    """Returns a metric of a finished run; NaN for a metric of validation if the run did not validate.

    Raises:
        UserError: If the run has no such metric.
    """
    metrics = read_json(folder / METRICS, "run's metrics")
    if metric.startswith("val/") and not any(name.startswith("val/") for name in metrics):
        return math.nan
    if metric not in metrics:
        raise UserError(f"metric={metric}: this run measured {', '.join(metrics)}; choose one of these")
    value = metrics[metric]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{folder / METRICS}: {metric} is {str(value)[:40]!r}, not a number; choose another metric")
    return float(value)


def multirun_to_resume(resume: str | None, overrides: Iterable[str], program: str) -> Path | None:
    """Returns the folder of the multirun to resume.

    This is the named one, or with resume=auto the newest that the same command (except for `resume`) started. Returns
    None if there is none, and a new multirun starts.

    Args:
        resume: The value of `resume=`.
        overrides: The overrides of the command.
        program: The program: train or visualize.

    Raises:
        UserError: If the folder does not hold a multirun.
    """
    if resume is None:
        return None
    if resume != "auto":
        if not (Path(resume) / MULTIRUN).is_file():
            raise UserError(
                f"resume={resume}: no multirun to resume there ({MULTIRUN} is missing); give a multirun's folder, "
                "or auto for the newest that the same command started"
            )
        return Path(resume)
    wanted = _without_resume(overrides)
    folders = []
    for path in OUTPUTS.glob(f"multirun/*/{MULTIRUN}"):
        if _started_by(path) == (wanted, program):
            folders.append(path.parent)
    return max(folders, key=lambda folder: folder.name, default=None)


def numbered(multirun: Path) -> list[Path]:
    """Returns the folders of the jobs of a multirun, in the order of their numbers."""
    return sorted((f for f in multirun.iterdir() if f.is_dir() and f.name.isdigit()), key=lambda f: int(f.name))


def _started_by(multirun: Path) -> tuple[list[str], str] | None:
    """Returns the overrides and the program that started a multirun; None, with a warning, if its record is damaged."""
    try:
        saved = read_yaml(multirun, "multirun's settings")["hydra"]
        return _without_resume(map(str, saved["overrides"]["task"])), str(saved["job"]["name"])
    except (UserError, KeyError, TypeError) as error:
        reason = error if isinstance(error, UserError) else f"{multirun} is damaged: it does not say what started it"
        log.warning("%s; this multirun is passed over", reason)
        return None


def _without_resume(overrides: Iterable[str]) -> list[str]:
    return sorted(override for override in overrides if not override.startswith("resume="))
