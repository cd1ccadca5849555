"""Runs of Weights & Biases, whose errors never make a job fail."""

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgn.errors import UserError, first_line

if TYPE_CHECKING:
    from dgn.runs.wandb_run import WandbRun

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")
PATIENCE = 30.0
"""Seconds that W&B has to answer when a run starts, and to upload remaining data when it ends. Data that is not
uploaded by then is on disk, for `wandb sync`."""


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


def begin(
    folder: Path, mode: str, name: str | None, group: str | None, tags: Any, **settings: Any
) -> "WandbRun | None":
    """Starts a run and returns its logger; None, with a warning, if W&B cannot keep the run even on disk."""
    import wandb

    from dgn.runs.wandb_run import forget  # here, as it imports Lightning

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
                forget()
                mode = "offline"
        logger = _start(settings, mode)
    except Exception as error:  # no error of W&B may stop the job
        log.warning("W&B cannot keep this run (%s): the job continues without W&B", first_line(error))
        forget()
        return None
    if mode == "offline":
        log.info("W&B offline; to upload it: wandb sync %s", logger.folder)
    return logger


def _start(settings: Mapping[str, Any], mode: str) -> "WandbRun":
    import wandb

    from dgn.runs.wandb_run import WandbRun

    quiet = wandb.Settings(silent=True, init_timeout=PATIENCE, login_timeout=PATIENCE, finish_timeout=PATIENCE)
    # If W&B creates this folder itself, it prints a message.
    (Path(settings["save_dir"]) / "wandb").mkdir(exist_ok=True)
    logger = WandbRun(**settings, mode=mode, settings=quiet, reinit="finish_previous")
    logger._wandb_init.pop("anonymous", None)  # set by Lightning; W&B warns that it has no effect
    _ = logger.experiment  # starts the run
    return logger


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
