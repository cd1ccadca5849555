"""Lightning's loggers of files, so that a resumed run has every step once."""

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger


class ResumableCSV(CSVLogger):
    """A CSVLogger that keeps the rows of an existing file up to the step at which the run is resumed."""

    _earlier: Sequence[dict[str, str]] = ()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            path = Path(self.log_dir) / "metrics.csv"
            with path.open(newline="", encoding="utf-8") if path.is_file() else io.StringIO() as file:
                self._earlier = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
            self._keep(self._earlier)
        return super().experiment

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        _ = self.experiment
        if step is not None and any(int(row["step"]) >= step for row in self._earlier):
            # Rows after the checkpoint from which the run is resumed are logged again.
            self._experiment = None
            same = {"step", *metrics}
            self._keep(
                [r for r in self._earlier if int(r["step"]) < step or (int(r["step"]) == step and not set(r) <= same)]
            )
        self._earlier = ()
        super().log_metrics(metrics, step)

    def _keep(self, rows: Sequence[dict[str, str]]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Experiment logs directory")  # the job's, which has other files
            writer = super().experiment
        writer.metrics = list(rows)
        writer.save()


class PurgingTensorBoard(TensorBoardLogger):
    """A TensorBoardLogger that marks, in a resumed run, that steps after the checkpoint are logged again."""

    _begun = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if step is not None and not self._begun:
            self._begun = True
            if len(list(Path(self.log_dir).glob("events.*"))) > 1:
                from tensorboard.compat.proto.event_pb2 import Event, SessionLog

                writer = self.experiment._get_file_writer()
                writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
        super().log_metrics(metrics, step)
