"""Lightning's logger of Weights & Biases, whose errors never make a job fail."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from dgn.errors import first_line

log = logging.getLogger(__name__)


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
        """Ends the run, and waits at most `dgn.runs.wandb.PATIENCE` seconds for the upload."""
        self.held(self.experiment.finish, exit_code=int(failed))
        if self.lost:
            forget()


def forget() -> None:
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
