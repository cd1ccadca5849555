"""Studies through loggers: the numbers, the statements, the pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgn.data.images import read_image
from dgn.runs.loggers import log_pictures, log_table, logged
from dgn.studies.running import Evidence

_COLUMNS = ("text", "quantity", "value", "low", "high", "outcome")


def log_study(makers: Sequence[Any], config: Mapping[str, Any], evidence: Evidence, folder: Path) -> None:
    """Logs a study as a run: a table of its statements with the verdict, its numbers and its figures.

    Args:
        makers: functions without arguments that return a logger.
        config: the settings of the study, logged as hyperparameters.
        evidence: what it found.
        folder: with its figures.
    """
    if not makers:
        return
    with logged(makers, config) as loggers:
        rows = [[evidence.verdict, *(statement[name] for name in _COLUMNS)] for statement in evidence.statements]
        log_table(loggers, f"{evidence.name}/statements", ["verdict", *_COLUMNS], rows, ())
        for figure in evidence.figures:
            picture = read_image(folder / figure["file"]).float() / 255
            log_pictures(loggers, f"{evidence.name}/{figure['name']}", [picture], [figure["caption"]], 0)
        metrics = {
            f"{evidence.name}/{row}/{name}": values[0]
            for row, cells in evidence.table
            for name, values in cells.items()
        }
        for logger in loggers:
            logger.log_metrics(metrics, 0)
