"""The gallery of a run: an overview of all units and a page for each, as files that a browser opens from disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dgn.data.exact import write_exact
from dgn.data.images import pictures
from dgn.files import write_whole, written_aside
from dgn.report import units as grouping
from dgn.report.comparison import table
from dgn.report.contents import Comparison, ImageMap, PathCurves, Trace, UnitNotes
from dgn.report.curves import HEIGHT, WIDTH, chart
from dgn.report.image_map import marks, write_map
from dgn.report.pages import render, write_assets
from dgn.report.real_images import RealImages, clipped, cropped, field, png
from dgn.report.results import Row, as_json, write_results
from dgn.report.row_table import row_table
from dgn.report.sheets import of_one_size, write_figure, write_sheet
from dgn.report.units import Column, LayerResults, Shot, UnitResults
from dgn.report.words import command_for, counted, flat, known, percent, percentile
from dgn.runs.progress import announced

THUMB = 224  # width in pixels of the overview's pictures, for images wider than 256
ON_OVERVIEW = 4000  # maximum number of pictures on an overview, but at least four per unit


def write_gallery(
    folder: str | Path,
    rows: Sequence[Row],
    images: Tensor | Sequence[Tensor],
    settings: Mapping[str, Any],
    title: str,
    command: str,
    summary: str | None = None,
    *,
    traces: Sequence[Trace] | None = None,
    units: Mapping[str, UnitNotes] | None = None,
    comparison: Comparison | None = None,
    paths: PathCurves | None = None,
    image_map: ImageMap | None = None,
) -> Path:
    """Writes the results of a run into `folder` and returns the path of its index.html.

    It writes the images at their rows' `image`, real images under real/, results.csv, results.json, contact_sheet.png,
    comparison.png if there are several methods or priors, a page for each unit, and last index.html, which shows them.

    Args:
        folder: the run folder.
        rows: one per image. Rows with the same objective form a unit, in the order of their first row; its page shows
            them in columns by method and prior.
        images: float (len(rows), C, H, W) in image space, or one (C, H, W) for each row, of any sizes.
        settings: any nesting of mappings and lists.
        title: the title of the run.
        command: the command that reproduces the run, ready to be copied.
        summary: the sentence under the title; None: composed from the rows and target, prior and steps in `settings`.
        traces: one per row: curve, nearest real images, film, receptive field.
        units: {a row's `objective`: real images that excite it, and its facets}.
        comparison: the table of methods and priors.
        paths: path similarity of methods and priors over the target's layers.
        image_map: real images laid out in the plane; a unit's page shows where its top images lie.
    """
    folder = Path(folder)
    settings = dict(as_json(settings))
    thumbs = [_write_image(folder, row, image) for row, image in zip(rows, images, strict=True)]
    sizes = [(image.shape[-1], image.shape[-2]) for image in images]
    columns, run_units = grouping.arrange(rows, traces or [Trace()] * len(rows), thumbs, sizes)
    write_results(folder, rows, settings)
    write_assets(folder)
    page = _UnitPages(folder, images, title, command, settings, columns, run_units, image_map)
    for unit in announced(run_units, len(run_units), "Writing the units' pages", "fewer with units="):
        page.write(unit, (units or {}).get(unit.objective, UnitNotes()))
    images = of_one_size(images)
    write_sheet(folder / "contact_sheet.png", run_units, columns, images)
    if len(columns) > 1:
        write_figure(folder / "comparison.png", run_units, columns, images, units or {})
    summary = summary or grouping.describe_run(rows, len(run_units), columns, settings)
    texts = dict(title=title, summary=summary, command=command, settings=list(flat(settings)))
    overview = _overview(rows, columns, run_units, comparison, paths, sizes[0][0], **texts)
    write_whole(folder / "index.html", overview)
    return folder / "index.html"


def _overview(
    rows: Sequence[Row],
    columns: Sequence[Column],
    units: Sequence[UnitResults],
    comparison: Comparison | None,
    paths: PathCurves | None,
    width: int,
    **texts: Any,
) -> str:
    """Returns the HTML of index.html.

    Args:
        rows: the rows of the run.
        columns: its columns.
        units: its units.
        comparison: the table of methods and priors.
        paths: path similarity over the target's layers.
        width: the width of the first image, in pixels.
        texts: title, summary, command and settings.
    """
    return render(
        "overview.html",
        root="",
        numbers=_numbers(rows, units, columns),
        columns=columns,
        layers=[(layer, _numbers_of_layer(layer, columns)) for layer in grouping.group_by_layer(units)],
        units=units,
        chosen=lambda unit: _on_overview(unit, columns, len(units)),
        judged=any(row.recognized is not None for row in rows),
        measured=any(known(row.percentile) for row in rows),
        sortable=[entry for entry in _SORTABLE if any(known(getattr(row, entry[1])) for row in rows)],
        comparison=comparison and table(comparison),
        paths=paths,
        path_chart=chart([((i, i), values) for i, (_, values) in enumerate(paths.curves)], 1.0) if paths else None,
        chart_size=(WIDTH, HEIGHT),
        begun=grouping.describe_starts(rows),
        abreast=_abreast(units, columns),
        side=_side(width),
        **texts,
    )


def _write_image(folder: Path, row: Row, image: Tensor) -> str:
    """Writes the image, and a thumbnail if it is large; returns the path of the picture for the overview."""
    (picture,) = pictures(image[None])
    write_whole(folder / row.image, png(picture))
    write_exact(image, folder / row.image)
    if picture.width <= 256:
        return row.image
    thumb = f"thumbs/{row.image.rpartition('.')[0].removeprefix('images/')}.webp"
    small = picture.resize((THUMB, round(THUMB * picture.height / picture.width)), Image.Resampling.LANCZOS)
    with written_aside(folder / thumb) as aside:
        small.save(aside, format="WEBP", quality=85)
    return thumb


class _UnitPages:
    """Writes the pages of the units, with their shared contents and links to neighbours."""

    def __init__(
        self,
        folder: Path,
        images: Tensor | Sequence[Tensor],
        title: str,
        command: str,
        settings: dict[str, Any],
        columns: list[Column],
        units: list[UnitResults],
        image_map: ImageMap | None,
    ) -> None:
        self._folder, self._images, self._units, self._columns = folder, images, units, columns
        self._real = RealImages(folder)
        self._command, self._prior, self._target = command, settings.get("prior"), settings.get("target")
        self._map = image_map
        map_path = write_map(folder, image_map) if image_map is not None else ""
        self._shared = dict(run=title, settings=list(flat(settings)), root="../", map=image_map, map_path=map_path)

    def write(self, unit: UnitResults, notes: UnitNotes) -> None:
        real = [self._real.show(image) for image in notes.real]
        best = max((image.activation for image in notes.real if known(image.activation)), default=None)
        rows = [shot.row for shot in unit.shots]
        unit_columns = sorted({shot.column for shot in unit.shots})
        page = render(
            "unit.html",
            unit=unit,
            before=self._units[unit.number - 1] if unit.number else None,
            after=self._units[unit.number + 1] if unit.number + 1 < len(self._units) else None,
            count=len(self._units),
            summary=grouping.describe_unit(unit, [self._columns[i] for i in unit_columns], self._target),
            numbers=_numbers(rows, [unit], unit_columns)[2:],
            columns=[(i, self._columns[i], _head(unit.shots_in(i))) for i in unit_columns],
            lines=[
                (facet, seed, [cells[i] for i in unit_columns]) for facet, seed, cells in unit.lines(len(self._columns))
            ],
            starts=self._starts(unit),
            nearest={shot.place: [self._real.show(image) for image in shot.trace.nearest] for shot in unit.shots},
            fields={shot.place: self._field(shot) for shot in unit.shots if shot.trace.box is not None},
            real=real,
            best=best,
            marks=marks(self._map, unit.objective) if self._map is not None else [],
            facets=[(name, [self._real.show(i) for i in examples]) for name, examples in notes.facets.items()],
            facets_of=notes.facets_of,
            chart=chart([((shot.column, shot.place), shot.trace.curve) for shot in unit.shots], best),
            chart_size=(WIDTH, HEIGHT),
            chart_text=_chart_text(unit, self._columns),
            table=row_table(rows),
            command=command_for(self._command, unit.objective, self._prior),
            side=_side(unit.shots[0].size[0]),
            **self._shared,
        )
        write_whole(self._folder / unit.page, page)

    def _starts(self, unit: UnitResults) -> dict[int, tuple[str, str]]:
        """Returns the file of what each search began at, and in words where that is from, by the shots' places."""
        starts = {}
        for shot in unit.shots:
            if shot.trace.start is not None:
                path = self._real.write(shot.trace.start, "starts")
                starts[shot.place] = path, grouping.describe_start(shot.row.start)
        return starts

    def _field(self, shot: Shot) -> tuple[str, tuple[float, float, float, float] | None]:
        """Returns the file of a preferred image cropped to the receptive field, and the field's position in percent."""
        image = self._images[shot.place].detach().float().clamp(0, 1).cpu()
        box = clipped(shot.trace.box, image)
        return (self._real.write(cropped(image, box)), field(box, image)) if field(box, image) else ("", None)


def _head(shots: Sequence[Shot]) -> list[str]:
    """Returns the lines under the title of a column."""
    rows = [shot.row for shot in shots]
    lines = []
    if judged := grouping.verdicts(rows):
        lines.append(f"{sum(judged)} of {len(judged)} recognized")
    if (middle := grouping.median(rows, "percentile")) is not None:
        lines.append(f"median p{percentile(middle)}")
    if (seconds := grouping.mean(rows, "seconds")) is not None:
        lines.append(f"{seconds:.2g} s an image")
    return lines


def _chart_text(unit: UnitResults, columns: Sequence[Column]) -> str:
    """Returns a description of the chart for screen readers."""
    parts = []
    for i, column in enumerate(columns):
        curves = [shot.trace.curve for shot in unit.shots_in(i) if len(shot.trace.curve)]
        if curves:
            first, last = (sum(float(curve[end]) for curve in curves) / len(curves) for end in (0, -1))
            parts.append(f"{column.title} from {first:.3g} to {last:.3g} in {len(curves[0])} steps")
    return "Activation over the steps of the search: " + "; ".join(parts)


_SORTABLE = (
    ("activation", "activation", "activation"),
    ("percentile", "percentile", "percentile"),
    ("recognized", "recognized", "recognized"),
    ("probability", "judge_probability", "judge’s probability"),
)
"""The sort keys of the overview's cards: name in the page, name in the table, and label."""


def _numbers(rows: Sequence[Row], units: Sequence[UnitResults], columns: Sequence[Any]) -> list[tuple[str, str]]:
    """Returns the large numbers at the top of a page. Means over several methods are meaningless and left out."""
    numbers = [
        (f"{len(units):,}", "unit" if len(units) == 1 else "units"),
        (f"{len(rows):,}", "image" if len(rows) == 1 else "images"),
    ]
    if len(columns) > 1:
        return numbers + ([(str(len(columns)), "methods side by side")] if len(units) > 1 else [])
    if judged := grouping.verdicts(rows):
        numbers.append((percent(sum(judged) / len(judged)), "recognized by the judge"))
    if (middle := grouping.median(rows, "percentile")) is not None:
        numbers.append((percentile(middle), "median percentile"))
    return numbers


def _numbers_of_layer(layer: LayerResults, columns: Sequence[Column]) -> str:
    rows = [shot.row for unit in layer.units for shot in unit.shots]
    parts = [counted(len(layer.units), "unit")]
    if len(columns) > 1:
        return parts[0]
    if judged := grouping.verdicts(rows):
        parts.append(f"{percent(sum(judged) / len(judged))} recognized")
    if (middle := grouping.median(rows, "percentile")) is not None:
        parts.append(f"median percentile {percentile(middle)}")
    return ", ".join(parts)


def _on_overview(unit: UnitResults, columns: Sequence[Column], units: int) -> list[Shot]:
    """Returns the shots that represent a unit on the overview, without selecting the best ones.

    They are the first of each column; with a single column all, limited so that the page stays small.
    """
    if len(columns) > 1:
        return [shots[0] for i in range(len(columns)) if (shots := unit.shots_in(i))]
    return unit.shots[: max(4, min(16, ON_OVERVIEW // units))]


def _abreast(units: Sequence[UnitResults], columns: Sequence[Column]) -> int:
    return min(4, max(len(_on_overview(unit, columns, len(units))) for unit in units))


def _side(width: int) -> int:
    """Returns the width in pixels at which a page shows a picture; small ones are enlarged by an integer."""
    return min(168, max(1, -(-112 // width)) * width)
