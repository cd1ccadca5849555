"""Run folders: where runs are, which can be gone on with, and which holds the newest prior."""

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
    """outputs/TASK/DATE_TIME, made here and now: of runs that begin in the same second each gets its own. With a name
    (that several processes of one run agree on), outputs/TASK/NAME. Raises UserError where it cannot be made."""
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
    """The run folder that `resume=` means: a folder, or `auto` for the newest unfinished run under outputs/ (None
    where there is none: then a new one begins). Raises UserError for a folder that is no run's."""
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
    """The command that started the run of a folder: the first line of its config."""
    return (folder / CONFIG).read_text().splitlines()[0].removeprefix("# ")


def finished(folder: Path) -> bool:
    """Whether a training run has come to its end."""
    return (folder / METRICS).is_file()


def holds_run(folder: Path) -> bool:
    """Whether a folder holds something of a training run: a checkpoint, or metrics. One that failed, or was stopped,
    before its first checkpoint has left neither, and its folder can be used for another."""
    return any((folder / name).is_file() for name in (METRICS, CHECKPOINT, PREVIOUS))


def result(folder: Path, steps: int) -> Path | None:
    """What a run of so many steps has made, where it has come to its end; else None."""
    if not finished(folder) or json.loads((folder / METRICS).read_text()).get("steps", 0) < steps:
        return None
    return next((folder / name for name in (PRIOR, ENCODER, CODE_PRIOR) if (folder / name).is_file()), None)


def measured(folder: Path, metric: str) -> float:
    """A metric of a finished run; NaN for one of validation's where the run did not validate. Raises UserError for one
    that it has not."""
    found = json.loads((folder / METRICS).read_text())
    if metric.startswith("val/") and not any(name.startswith("val/") for name in found):
        return math.nan
    if metric not in found:
        raise UserError(f"metric={metric}: this run measured {', '.join(found)}; choose one of these")
    return float(found[metric])


def multirun_to_resume(resume: str | None, overrides: Iterable[str]) -> Path | None:
    """The folder of the multirun to go on with: the one that is named, or with resume=auto the newest that the same
    command (but for `resume`) started; None where there is none: then a new one begins. Raises UserError for a folder
    that is no multirun's."""
    if resume is None:
        return None
    if resume != "auto":
        if not (Path(resume) / MULTIRUN).is_file():
            raise UserError(
                f"resume={resume}: no multirun to go on with there ({MULTIRUN} is missing); give a multirun's folder, "
                "or auto for the newest that the same command began"
            )
        return Path(resume)
    found = [
        path
        for path in OUTPUTS.glob(f"multirun/*/{MULTIRUN}")
        if _told(yaml.safe_load(path.read_text())["hydra"]["overrides"]["task"]) == _told(overrides)
    ]
    return max((path.parent for path in found), key=lambda folder: folder.name, default=None)


def numbered(multirun: Path) -> list[Path]:
    """The folders of a multirun's jobs, in the order of their numbers."""
    return sorted((f for f in multirun.iterdir() if f.is_dir() and f.name.isdigit()), key=lambda f: int(f.name))


def _told(overrides: Iterable[str]) -> list[str]:
    return sorted(override for override in overrides if not override.startswith("resume="))
