"""A run of visualize.py through the config's loggers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.cli.config import plain
from dgn.data.images import read_image
from dgn.report.results import COLUMNS, Row
from dgn.report.words import known
from dgn.runs.loggers import log_pictures, log_table, logged


def track(config: DictConfig, folder: Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> None:
    """A row for each preferred image, the contact sheet, the comparison where there is one, and the means."""
    makers = [instantiate(maker, _partial_=True) for maker in config.logger.values()]
    with logged(makers, plain(config)) as loggers:
        if not loggers:
            return
        table = [list(asdict(row).values()) for row in rows]
        for line in table:
            line[COLUMNS.index("image")] = str(folder / line[COLUMNS.index("image")])
            at = COLUMNS.index("prior")
            if line[at] and isinstance(settings["prior"], str):  # of several, the row names its own
                line[at] = settings["prior"]
        log_table(loggers, "preferred", list(COLUMNS), table, picture="image")
        for name in ("contact_sheet", "comparison"):
            if (folder / f"{name}.png").is_file():
                picture = read_image(folder / f"{name}.png").float() / 255
                log_pictures(loggers, name, [picture], [f"{len(rows)} preferred images"], 0)
        for logger in loggers:
            logger.log_metrics(_means(rows), 0)


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """{name: mean over the images}, of what was measured; for each method and prior, where there are several."""
    columns = list(dict.fromkeys((row.method, row.prior) for row in rows))
    found = {}
    for column in columns:
        prefix = "visualize/" if len(columns) == 1 else f"visualize/{'_'.join(filter(None, column))}/"
        mine = [row for row in rows if (row.method, row.prior) == column]
        for name in ("activation", "percentile", "judge_probability", "recognized", "judge_top5", "nearest_code"):
            values = [float(value) for row in mine if known(value := getattr(row, name))]
            if values:
                found[f"{prefix}{name}"] = sum(values) / len(values)
    return found
