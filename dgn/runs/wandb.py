"""Runs of Weights & Biases, whose errors never make a job fail."""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from dgn.errors import UserError, first_line

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
PATIENCE = 30.0
"""Seconds that W&B has to answer when a run starts, and to upload remaining data when it ends. Data that is not
uploaded by then is on disk, for `wandb sync`."""


class WandbRun(WandbLogger):
    """A WandbLogger whose errors do not stop the job.

    The first error after the start of the run (a full disk, an unreachable service, W&B's process killed) is logged
    as a warning, and the job continues without W&B.
    """

    lost = False

    def held(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns call(*args, **kwargs), or None if the run is lost."""
        if self.lost:
            return None
        try:
            return call(*args, **kwargs)
        except Exception as error:  # of W&B, its service, the network or the disk
            self.lost = True
            logging.raiseExceptions = False  # W&B's own log may be on the same full disk
            _release_console()
            log.warning(
                "W&B stopped logging this run (%s), which continues without it; to upload its data: wandb sync %s",
                first_line(error),
                self.folder,
            )
            return None

    @property
    def folder(self) -> Path:
        """The folder of the run, the argument of `wandb sync`."""
        return Path(self.experiment.dir).parent

    def log_hyperparams(self, params: Any) -> None:
        self.held(super().log_hyperparams, params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.held(super().log_metrics, metrics, step)

    def log_image(self, *args: Any, **kwargs: Any) -> None:
        self.held(super().log_image, *args, **kwargs)

    def log_table(self, *args: Any, **kwargs: Any) -> None:
        self.held(super().log_table, *args, **kwargs)

    def finish(self, failed: bool) -> None:
        """Ends the run, and waits at most `PATIENCE` seconds for the upload."""
        self.held(self.experiment.finish, exit_code=int(failed))
        if self.lost:
            _forget()


def check(project: str | None = None, mode: str = "auto", tags: Any = ()) -> None:
    """Raises UserError for settings that W&B would refuse, including its environment variables."""
    if mode not in MODES:
        raise UserError(f"logger.wandb.mode={mode}: choose one of {', '.join(MODES)}")
    if (environment_mode := os.environ.get("WANDB_MODE")) not in (None, "dryrun", "run", "shared", *MODES[1:]):
        raise UserError(f"WANDB_MODE={environment_mode}: choose one of {', '.join(MODES[1:])}")
    import wandb

    try:
        wandb.Settings(project=project, run_tags=_tags(tags))
        wandb.Settings().update_from_env_vars(dict(os.environ))
    except (wandb.Error, ValueError) as error:
        messages = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in getattr(error, "errors", list)()]
        raise UserError(
            f"W&B does not accept these settings ({'; '.join(messages) or first_line(error)}); see logger.wandb.* "
            "and the environment variables WANDB_*"
        ) from None


def begin(folder: Path, mode: str, name: str | None, group: str | None, tags: Any, **settings: Any) -> WandbRun | None:
    """Starts a run and returns its logger; None, with a warning, if W&B cannot keep the run even on disk."""
    import wandb

    folder = folder.absolute()  # W&B's service process may have been started in another folder
    multirun = folder.parent if (folder.parent / "multirun.yaml").is_file() else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settings |= dict(
            name=str(name or (f"{multirun.name}/{folder.name}" if multirun else folder.name)),
            group=str(group) if group else (multirun.name if multirun else None),
            tags=_tags(tags),
            save_dir=str(folder),
            id=os.environ.get("WANDB_RUN_ID") or _run_id(folder),  # set by the agent of a W&B sweep
        )
        mode = _mode(mode)
        if mode == "online":
            try:
                return _start(settings, mode)
            except (wandb.Error, OSError, TimeoutError) as error:
                log.warning("W&B cannot be reached (%s): this run is kept offline", first_line(error))
                # W&B's service process still has the id of the run that did not start.
                _forget()
                mode = "offline"
        logger = _start(settings, mode)
    except Exception as error:  # no error of W&B may stop the job
        log.warning("W&B cannot keep this run (%s): the job continues without W&B", first_line(error))
        _forget()
        return None
    if mode == "offline":
        log.info("W&B offline; to upload it: wandb sync %s", logger.folder)
    return logger


def _start(settings: Mapping[str, Any], mode: str) -> WandbRun:
    import wandb

    quiet = wandb.Settings(silent=True, init_timeout=PATIENCE, login_timeout=PATIENCE, finish_timeout=PATIENCE)
    # If W&B creates this folder itself, it prints a message.
    (Path(settings["save_dir"]) / "wandb").mkdir(exist_ok=True)
    logger = WandbRun(**settings, mode=mode, settings=quiet, reinit="finish_previous")
    logger._wandb_init.pop("anonymous", None)  # set by Lightning; W&B warns that it has no effect
    _ = logger.experiment  # starts the run
    return logger


def _forget() -> None:
    """Ends W&B's service process and discards its state of a run; the next run starts a new process."""
    import wandb

    _release_console()
    try:
        wandb.teardown()
    except Exception as error:  # it has already ended
        log.debug("wandb.teardown: %s", error)
    wandb.run = None  # otherwise Lightning would log the next job into the lost run


def _release_console() -> None:
    """Stops W&B's copy of what is printed: with a lost service, each printed line would log an error of W&B."""
    import wandb

    for stream in ("_out_redir", "_err_redir"):
        if (redirect := getattr(wandb.run, stream, None)) is not None:
            redirect.uninstall()


def _mode(mode: str) -> str:
    """Returns `online`, `offline` or `disabled` for a mode of the config, which $WANDB_MODE overrides."""
    if "WANDB_MODE" in os.environ:
        requested = {"dryrun": "offline", "run": "online"}.get(os.environ["WANDB_MODE"], os.environ["WANDB_MODE"])
        return requested if requested in MODES[1:] else "online"
    if mode != "auto":
        return mode
    import wandb

    try:
        return "online" if wandb.login(prompt=False, verify=False) else "offline"
    except wandb.Error as error:
        log.warning("W&B does not accept the API key that is configured (%s)", first_line(error))
        return "offline"


def _tags(tags: Any) -> tuple[str, ...] | None:
    return tuple(str(tag) for tag in ([tags] if isinstance(tags, str) else tags or [])) or None


def _run_id(folder: Path) -> str:
    """Returns the id of the folder's W&B run, kept from its first job, so that a resumed run stays one run."""
    path = folder / "wandb" / "run_id"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(f"{folder.resolve()} {os.urandom(8).hex()}".encode()).hexdigest()[:12]
        path.write_text(digest, encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
