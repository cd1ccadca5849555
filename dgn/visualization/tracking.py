"""Galleries and comparisons through loggers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dgn.data.images import read_image
from dgn.report.results import COLUMNS, Row
from dgn.report.run_comparison import Entry
from dgn.report.words import known
from dgn.runs.loggers import log_pictures, log_table, logged


def log_gallery(
    makers: Sequence[Any], config: Mapping[str, Any], folder: Path, rows: Sequence[Row], prior: str | None
) -> None:
    """Logs a row for each preferred image, the contact sheet, the comparison if there is one, and the means.

    Args:
        makers: functions without arguments that return a logger.
        config: the run's settings, logged as hyperparameters.
        folder: the run folder, with the gallery.
        rows: of the preferred images.
        prior: the source of the prior, if there is only one; None: each row names its own.
    """
    with logged(makers, config) as loggers:
        if not loggers:
            return
        table = [list(asdict(row).values()) for row in rows]
        for line in table:
            line[COLUMNS.index("image")] = str(folder / line[COLUMNS.index("image")])
            at = COLUMNS.index("prior")
            if line[at] and prior is not None:
                line[at] = prior
        log_table(loggers, "preferred", list(COLUMNS), table, ["image"])
        for name in ("contact_sheet", "comparison"):
            if (folder / f"{name}.png").is_file():
                picture = read_image(folder / f"{name}.png").float() / 255
                log_pictures(loggers, name, [picture], [f"{len(rows)} preferred images"], 0)
        for logger in loggers:
            logger.log_metrics(_means(rows), 0)


def log_comparison(
    makers: Sequence[Any], config: Mapping[str, Any], entries: Sequence[Entry], folder: Path, has_figure: bool
) -> None:
    """Logs a comparison as a run of its own: the table and the figure.

    Args:
        makers: functions without arguments that return a logger.
        config: the settings of the comparison, logged as hyperparameters.
        entries: the runs that were compared.
        folder: with the comparison's files.
        has_figure: whether there is a figure.
    """
    if not makers:
        return
    with logged(makers, config) as loggers:
        numbers = list(dict.fromkeys(key for entry in entries for key in entry.numbers))
        settings = list(dict.fromkeys(key for entry in entries for key in entry.settings))
        rows = [
            [e.name, e.status, e.error, *(str(e.settings.get(k, "")) for k in settings), *map(e.numbers.get, numbers)]
            for e in entries
        ]
        log_table(loggers, "comparison/table", ["run", "status", "error", *settings, *numbers], rows, [])
        if has_figure:
            picture = read_image(folder / "comparison.png").float() / 255
            caption = "a row a unit, a column a run: " + " | ".join(e.name for e in entries if e.images is not None)
            log_pictures(loggers, "comparison/figure", [picture], [caption])


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """{name: mean over the images}, of what was measured; for each method and prior, where there are several."""
    columns = list(dict.fromkeys((row.method, row.prior) for row in rows))
    means = {}
    for column in columns:
        prefix = "visualize/" if len(columns) == 1 else f"visualize/{'_'.join(filter(None, column))}/"
        mine = [row for row in rows if (row.method, row.prior) == column]
        for name in ("activation", "percentile", "judge_probability", "recognized", "judge_top5", "nearest_code"):
            values = [float(value) for row in mine if known(value := getattr(row, name))]
            if values:
                means[f"{prefix}{name}"] = sum(values) / len(values)
    return means
