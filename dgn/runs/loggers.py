"""Loggers of metrics, pictures and priors: CSV, TensorBoard, Weights & Biases.

They are Lightning's loggers; code specific to W&B is in `dgn.runs.wandb`. Each job is one run of W&B: `logged` starts
and ends it, so that the next job of the same process gets a separate run.
"""

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor

from dgn.errors import UserError
from dgn.runs import wandb as wandb_runs
from dgn.runs.ranks import rank

if TYPE_CHECKING:
    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

    from dgn.runs.wandb_run import WandbRun

# Lightning's classes are imported where a logger is made or used: they take seconds, and most galleries are not logged.


def check(loggers: Mapping[str, Any]) -> None:
    """Raises UserError for invalid settings of the config's loggers, before the job starts."""
    for settings in loggers.values():
        try:
            maker = pkgutil.resolve_name(settings["_target_"])
        except (ImportError, AttributeError, ValueError):
            continue  # making the logger reports this
        check_settings = _CHECKS.get(maker)
        if check_settings is not None:
            keys = inspect.signature(check_settings).parameters
            check_settings(**{key: settings[key] for key in keys if key in settings})


@contextmanager
def logged(makers: Sequence[Any], config: Mapping[str, Any]) -> Iterator[list["Logger"]]:
    """Yields the loggers of one job, and closes them after the block, as failed if it raised.

    Args:
        makers: Functions without arguments that return a logger. Only the process of rank 0 logs.
        config: The config of the job, logged as hyperparameters.
    """
    if rank():
        yield []
        return
    loggers: list[Logger] = []
    failed = True
    try:
        for make in makers:
            if (logger := make()) is None:  # W&B, where it cannot keep the run
                continue
            from pytorch_lightning.loggers import CSVLogger

            loggers.append(logger)
            if not isinstance(logger, CSVLogger):  # the run's folder has its config.yaml
                logger.log_hyperparams(dict(config))
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            if _is_wandb(logger):
                logger.finish(failed)
            else:
                logger.finalize("failed" if failed else "success")
                if _is_tensorboard(logger):
                    logger.experiment.close()


def csv_logger(folder: str | Path) -> "CSVLogger":
    """Logs to metrics.csv in the folder. A resumed run keeps the rows up to its checkpoint."""
    from dgn.runs.lightning_loggers import ResumableCSV

    return ResumableCSV(str(folder), name="", version="")


def tensorboard_logger(folder: str | Path) -> "TensorBoardLogger":
    """Logs to event files in the folder. In a resumed run, repeated steps replace the earlier ones.

    Raises:
        UserError: If tensorboard is not installed.
    """
    from dgn.runs.lightning_loggers import PurgingTensorBoard

    try:
        return PurgingTensorBoard(str(folder), name="", version="", default_hp_metric=False)
    except ModuleNotFoundError:
        raise UserError("logger=tensorboard needs tensorboard: pip install -e '.[tensorboard]'") from None


def wandb_logger(
    folder: str | Path,
    project: str = "dgn",
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    mode: str = "auto",
) -> "WandbRun | None":
    """Starts a run of W&B and returns Lightning's WandbLogger for it. A resumed run resumes the run of W&B too.

    Args:
        folder: The folder of the job. W&B's files are written to its wandb/.
        project: The project of W&B.
        entity: The user or team of W&B.
        name: The name of the run (None: that of the folder, with its multirun's).
        group: The group of the run (None: the multirun that the folder belongs to).
        job_type: The job type of W&B.
        tags: Tags of the run.
        notes: Notes on the run.
        mode: `auto` is online if a user is logged in, else offline. $WANDB_MODE takes precedence. If the service does
            not answer, the run is kept offline, with a warning.

    Returns:
        The logger, or None, with a warning, if W&B cannot keep the run even on disk.

    Raises:
        UserError: If W&B refuses the settings.
    """
    wandb_runs.check(project=project, mode=mode, tags=tags)
    notes = None if notes is None else str(notes)
    return wandb_runs.begin(
        Path(folder), mode, name, group, tags, project=project, entity=entity, job_type=job_type, notes=notes
    )


_CHECKS: dict[Callable[..., Any], Callable[..., None]] = {wandb_logger: wandb_runs.check}
"""{a maker of loggers: what checks those of its settings that it names}."""


def log_pictures(
    loggers: Sequence["Logger"], key: str, images: Sequence[Tensor], captions: Sequence[str], step: int | None = None
) -> None:
    """Logs images (3, H, W) in image space, with one caption each, through every logger that accepts images."""
    for logger in loggers:
        if _is_wandb(logger):
            logger.log_image(key, list(images), step=step, caption=list(captions))
        elif _is_tensorboard(logger):
            for number, image in enumerate(images):
                tag = key if len(images) == 1 else f"{key}/{number}"
                logger.experiment.add_image(tag, image, step)


def log_table(
    loggers: Sequence["Logger"],
    key: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    pictures: Sequence[str],
) -> None:
    """Logs a table through W&B. pictures: the columns that hold paths of images."""
    for logger in loggers:
        if _is_wandb(logger):
            logger.held(_log_table, logger, key, columns, rows, pictures)


def log_prior(loggers: Sequence["Logger"], path: Path, about: Mapping[str, Any]) -> None:
    """Logs a prior file as a W&B artifact of type `prior`, named after its encoder and layer, with its metadata."""
    for logger in loggers:
        if _is_wandb(logger):
            logger.held(_log_prior, logger, path, about)


def artifact_name(*parts: str) -> str:
    """Joins the parts to a valid name for W&B: ASCII letters and digits, `-`, `_` and `.`, at most 128 characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", "-".join(map(str, parts)))[:128]


def _log_table(
    logger: "WandbRun", key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], pictures: Sequence[str]
) -> None:
    import wandb

    places = {list(columns).index(name) for name in pictures}
    data = [[wandb.Image(str(v)) if i in places and v else v for i, v in enumerate(row)] for row in rows]
    logger.log_table(key, columns=list(columns), data=data)


def _log_prior(logger: "WandbRun", path: Path, about: Mapping[str, Any]) -> None:
    import wandb

    artifact = wandb.Artifact(
        artifact_name(about["encoder"]["name"], about["layer"]),
        type="prior",
        metadata={k: v for k, v in about.items() if k != "config"},
    )
    artifact.add_file(str(path), name=path.name)
    logger.experiment.log_artifact(artifact)


def _is_wandb(logger: "Logger") -> "TypeGuard[WandbRun]":
    from dgn.runs.wandb_run import WandbRun

    return isinstance(logger, WandbRun)


def _is_tensorboard(logger: "Logger") -> "TypeGuard[TensorBoardLogger]":
    from pytorch_lightning.loggers import TensorBoardLogger

    return isinstance(logger, TensorBoardLogger)
