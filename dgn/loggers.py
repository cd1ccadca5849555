"""Where metrics, pictures and priors go besides the run's folder: CSV, TensorBoard, Weights & Biases.

All of it goes through Lightning's loggers, and this is the one place that knows W&B. A run there is one job: it is
begun here, and ended here (`logged`), so that the next job of the same process gets a run of its own.
"""

import csv
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

from dgn.errors import UserError
from dgn.processes import rank

log = logging.getLogger(__name__)

_MODES = ("auto", "online", "offline", "disabled")
_PATIENCE = 30.0
"""Seconds that W&B gets to answer as a run begins, and to take what is left as it ends. What it has not taken by
then is on disk, for `wandb sync`."""


@contextmanager
def logged(makers: Sequence[Any], config: Mapping[str, Any]) -> Iterator[list[Logger]]:
    """The loggers of one job, which know its config; ended with the block, as failed where it raised.

    makers: functions of nothing that make them. Only the process of rank 0 logs."""
    if rank():
        yield []
        return
    loggers: list[Logger] = []
    failed = True
    try:
        for make in makers:
            loggers.append(make())
            if not isinstance(loggers[-1], CSVLogger):  # the run's folder has its config.yaml
                loggers[-1].log_hyperparams(dict(config))
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                _finish(logger, failed)
            else:
                logger.finalize("failed" if failed else "success")
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.close()


def csv_logger(folder: str | Path) -> CSVLogger:
    """metrics.csv in the folder. A run that is gone on with keeps what it had logged up to there."""
    return _GoingOn(str(folder), name="", version="")


def tensorboard_logger(folder: str | Path) -> TensorBoardLogger:
    """Event files in the folder. Raises UserError where tensorboard is not installed."""
    try:
        return TensorBoardLogger(str(folder), name="", version="", default_hp_metric=False)
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
) -> WandbLogger:
    """Lightning's WandbLogger, with its run begun. A run that is gone on with goes on in W&B, too.

    folder: the job's; W&B's files go into its wandb/. group: None: the multirun that the folder belongs to. name:
    None: the folder's, with its multirun's. mode: `auto` is online where someone is logged in, else offline;
    $WANDB_MODE decides where it is set. Where the service does not answer, the run is kept offline, and it is said."""
    if mode not in _MODES:
        raise UserError(f"logger.wandb.mode={mode} is none of {', '.join(_MODES)}")
    import wandb

    folder = Path(folder)
    multirun = folder.parent if (folder.parent / "multirun.yaml").is_file() else None
    settings = dict(
        project=project,
        entity=entity,
        name=name or (f"{multirun.name}/{folder.name}" if multirun else folder.name),
        group=group or (multirun.name if multirun else None),
        job_type=job_type,
        tags=list(tags) or None,
        notes=notes,
        save_dir=str(folder),
        id=None if "WANDB_RUN_ID" in os.environ else _run_id(folder),  # a sweep's agent names the run
    )
    mode = _mode(mode)
    folder.mkdir(parents=True, exist_ok=True)
    if mode == "online":
        try:
            return _begun(settings, mode)
        except (wandb.Error, OSError, TimeoutError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            log.warning("W&B does not answer (%s): this run is kept offline", reason)
            # W&B's service process still holds the id of the run that did not begin.
            mode, settings["id"] = "offline", settings["id"] and _run_id(folder, new=True)
    logger = _begun(settings, mode)
    if mode == "offline":
        log.info("W&B offline; to upload it: wandb sync %s", Path(logger.experiment.dir).parent)
    return logger


def log_pictures(
    loggers: Sequence[Logger], key: str, images: Sequence[Tensor], captions: Sequence[str], step: int | None = None
) -> None:
    """Images (3, H, W) in image space, with a caption each, through every logger that takes images."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, list(images), step=step, caption=list(captions))
        elif isinstance(logger, TensorBoardLogger):
            for number, image in enumerate(images):
                tag = key if len(images) == 1 else f"{key}/{number}"
                logger.experiment.add_image(tag, image, step)


def log_table(
    loggers: Sequence[Logger], key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], picture: str | None
) -> None:
    """A table, one row a thing, through W&B. picture: the column of the paths of its images, if there is one."""
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        import wandb

        at = list(columns).index(picture) if picture else -1
        data = [[wandb.Image(str(v)) if i == at and v else v for i, v in enumerate(row)] for row in rows]
        logger.log_table(key, columns=list(columns), data=data)


def log_prior(loggers: Sequence[Logger], path: Path, about: Mapping[str, Any]) -> None:
    """The prior file as a W&B artifact of type `prior`, named after what it inverts, with what it says of itself."""
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        import wandb

        name = "-".join(
            str(part).replace("/", "-").replace(":", "-") for part in (about["encoder"]["name"], about["layer"])
        )
        artifact = wandb.Artifact(name, type="prior", metadata={k: v for k, v in about.items() if k != "config"})
        artifact.add_file(str(path), name=path.name)
        logger.experiment.log_artifact(artifact)


def _begun(settings: Mapping[str, Any], mode: str) -> WandbLogger:
    import wandb

    quiet = wandb.Settings(silent=True, init_timeout=_PATIENCE, login_timeout=_PATIENCE, finish_timeout=_PATIENCE)
    # W&B looks whether it may write into the folder of its files, and says so where it made that folder itself.
    (Path(settings["save_dir"]) / "wandb").mkdir(exist_ok=True)
    logger = WandbLogger(**settings, mode=mode, settings=quiet, reinit="finish_previous")
    logger._wandb_init.pop("anonymous", None)  # Lightning's, of which today's W&B says that it does nothing
    _ = logger.experiment  # begins the run
    return logger


def _finish(logger: WandbLogger, failed: bool) -> None:
    import wandb

    try:
        logger.experiment.finish(exit_code=int(failed))
    except (wandb.Error, OSError, TimeoutError) as error:
        log.warning("W&B has not taken all of this run (%s); to upload the rest: wandb sync", error)


def _mode(mode: str) -> str:
    """Whether to ask the service at all."""
    if "WANDB_MODE" in os.environ:
        found = {"dryrun": "offline", "run": "online"}.get(os.environ["WANDB_MODE"], os.environ["WANDB_MODE"])
        return found if found in _MODES[1:] else "online"
    if mode != "auto":
        return mode
    import wandb

    try:
        return "online" if wandb.login(prompt=False, verify=False) else "offline"
    except wandb.Error as error:
        log.warning("W&B does not take the key it finds (%s)", str(error).strip().splitlines()[0])
        return "offline"


def _run_id(folder: Path, new: bool = False) -> str:
    """The id of the folder's W&B run: that of its first job, so that a run that is gone on with is one run there."""
    kept = folder / "wandb" / "run_id"
    if new or not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(hashlib.sha256(f"{folder.resolve()} {os.urandom(8).hex()}".encode()).hexdigest()[:12])
    return kept.read_text().strip()


class _GoingOn(CSVLogger):
    """Lightning's CSVLogger deletes the file that is there; this one keeps its rows up to where the run goes on."""

    _earlier: Sequence[dict[str, str]] = ()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            path = Path(self.log_dir) / "metrics.csv"
            with path.open(newline="") if path.is_file() else io.StringIO() as file:
                self._earlier = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
            self._keep(self._earlier)
        return super().experiment

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        _ = self.experiment
        if step is not None and any(int(row["step"]) >= step for row in self._earlier):
            # What had been logged after the checkpoint that the run goes on from comes again.
            self._experiment = None
            self._keep([row for row in self._earlier if int(row["step"]) < step])
        self._earlier = ()
        super().log_metrics(metrics, step)

    def _keep(self, rows: Sequence[dict[str, str]]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Experiment logs directory")  # the job's, which has other files
            writer = super().experiment
        writer.metrics = list(rows)
        writer.save()
