"""The views of visualize.py (image=, view=) through loggers: their pictures, tables and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgn.data.images import read_image
from dgn.report.attributions import Explained, areas, overlay_path
from dgn.report.embedding import EmbeddingShown
from dgn.report.layers import LayerShown
from dgn.report.patches import PatchesShown, picture_paths, sheet_path
from dgn.runs.loggers import log_pictures, log_table, logged

_MOST = 64  # pictures of one name


@dataclass(frozen=True)
class LoggedView:
    """What of a view is logged. Paths are relative to the run's folder.

    Attributes:
        table: the table's name.
        columns: its columns.
        rows: its rows.
        picture_columns: the columns that hold paths of pictures.
        pictures: {name: (path, caption) of each picture}.
        metrics: {name: number}.
    """

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    picture_columns: Sequence[str] = ()
    pictures: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def log_view(makers: Sequence[Any], config: Mapping[str, Any], folder: Path, view: LoggedView) -> None:
    """Logs a view as a run of its own.

    Args:
        makers: functions without arguments that return a logger.
        config: the run's settings, logged as hyperparameters.
        folder: the run's folder, with the files of the view.
        view: what is logged.
    """
    with logged(makers, config) as loggers:
        if not loggers:
            return
        places = [list(view.columns).index(name) for name in view.picture_columns]
        rows = [[str(folder / v) if i in places and v else v for i, v in enumerate(row)] for row in view.rows]
        log_table(loggers, view.table, view.columns, rows, view.picture_columns)
        for name, entries in view.pictures.items():
            images = [read_image(folder / path).float() / 255 for path, _ in entries[:_MOST]]
            log_pictures(loggers, name, images, [caption for _, caption in entries[:_MOST]], 0)
        for logger in loggers:
            if view.metrics:
                logger.log_metrics(dict(view.metrics), 0)


def logged_attributions(explained: Sequence[Explained]) -> LoggedView:
    """Returns a row for each map, the maps over the images, and the mean areas under the curves."""
    columns = ("image", "unit", "label", "value", "probability", "method", "deletion", "insertion", "overlay")
    rows = []
    pictures: dict[str, list[tuple[str, str]]] = {}
    for number, shown in enumerate(explained):
        for entry in shown.maps:
            overlay = overlay_path(number, shown, entry) if entry.values is not None else None
            about = (shown.source, shown.unit, shown.title, shown.value, shown.probability)
            rows.append((*about, entry.name, entry.deletion_area, entry.insertion_area, overlay))
            if overlay:
                pictures.setdefault(f"maps/{entry.name}", []).append((overlay, f"{shown.source}: {shown.title}"))
    metrics: dict[str, float] = {}
    for name, deletion, insertion, _ in areas(explained):
        metrics |= {f"deletion/{name}": deletion, f"insertion/{name}": insertion}
    return LoggedView("attributions", columns, rows, ("overlay",), pictures, metrics)


def logged_layers(filters: tuple[str, Any] | None, layers: Sequence[LayerShown]) -> LoggedView:
    """Returns the statistics of each layer, and the first filters."""
    columns = ("layer", "shape", "units", "dead", "zero_share", "median_sparsity", "mean", "std")
    rows = [
        (r.layer, "x".join(map(str, r.shape)), r.units, r.dead, r.zero_share, r.sparsity, r.mean, r.std) for r in layers
    ]
    pictures = {"filters": [("filters.png", f"filters of {filters[0]}")]} if filters is not None else {}
    return LoggedView("layers", columns, rows, (), pictures)


def logged_embedding(shown: EmbeddingShown) -> LoggedView:
    """Returns the place of each image, and the grid."""
    columns = ("image", "label", "x", "y")
    rows = [
        (i, label, float(x), float(y))
        for i, (label, (x, y)) in enumerate(zip(shown.labels, shown.places.tolist(), strict=True))
    ]
    caption = f"{shown.name} of {len(rows)} images in {shown.layer}"
    return LoggedView("embedding", columns, rows, (), {"grid": [("grid.png", caption)]})


def logged_patches(channels: Sequence[PatchesShown]) -> LoggedView:
    """Returns the patches and deconvolutions of each channel, and the sheet of each layer."""
    columns = ("channel", "label", "largest", "patches", "deconvolutions")
    rows = []
    for channel in channels:
        patches, deconvolutions = picture_paths(channel)
        rows.append((channel.name, channel.title, max(channel.values), patches, deconvolutions or None))
    layers = dict.fromkeys(channel.layer for channel in channels)
    sheets = {f"sheets/{layer}": [(sheet_path(layer), f"top patches of {layer}")] for layer in layers}
    return LoggedView("patches", columns, rows, ("patches", "deconvolutions"), sheets)
