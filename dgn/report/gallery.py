"""The gallery of a run: an overview of all units and a page for each, as files that a browser opens from disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import write_whole, written_aside
from dgn.report import units as grouping
from dgn.report.comparison import table
from dgn.report.contents import Comparison, Trace, UnitNotes
from dgn.report.curves import HEIGHT, WIDTH, chart
from dgn.report.pages import render, write_assets
from dgn.report.real_images import RealImages, clipped, cropped, field, png
from dgn.report.results import Row, plain, write_results
from dgn.report.sheets import of_one_size, write_figure, write_sheet
from dgn.report.units import Column, Layer, Shot, Unit
from dgn.report.words import command_for, counted, flat, known, percent, percentile

THUMB = 224  # pixels of the pictures of an overview, where the images themselves are larger than 256
ON_OVERVIEW = 4000  # pictures that an overview has at most, but for four a unit


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
) -> Path:
    """Writes what a run leaves behind into `folder` and returns the path of its index.html.

    The images at their rows' `image`, real images under real/, results.csv, results.json, contact_sheet.png,
    comparison.png where there are several methods or priors, a page for each unit under units/ and, last,
    index.html: where it is, everything it shows is.

    rows: one an image; those of one objective are one unit's, in the order of their first, and side by side in
    columns on its page where they differ in method or prior.
    images: float (len(rows), 3, H, W) in image space, or one (3, H, W) for each row, of any sizes.
    settings: any nesting of mappings and lists; shown, and written to results.json.
    command: what makes the same again, ready to be copied.
    summary: the sentence under the title. None: made of the rows and of `settings`' target, prior and steps.
    traces: one a row, beyond it: curve, nearest real images, film, receptive field.
    units: of objectives, by their expression (a row's `objective`): real images that excite them, facets.
    comparison: the table of methods and priors.
    """
    folder = Path(folder)
    settings = dict(plain(settings))
    thumbs = [_write_image(folder, row, image) for row, image in zip(rows, images, strict=True)]
    sizes = [(image.shape[-1], image.shape[-2]) for image in images]
    columns, found = grouping.arrange(rows, traces or [Trace()] * len(rows), thumbs, sizes)
    write_results(folder, rows, settings)
    write_assets(folder)
    page = _UnitPages(folder, images, title, command, settings, columns, found)
    for unit in found:
        page.write(unit, (units or {}).get(unit.objective, UnitNotes()))
    images = of_one_size(images)
    write_sheet(folder / "contact_sheet.png", found, columns, images)
    if len(columns) > 1:
        write_figure(folder / "comparison.png", found, columns, images, units or {})
    overview = render(
        "overview.html",
        root="",
        title=title,
        summary=summary or grouping.sentence(rows, len(found), columns, settings),
        numbers=_numbers(rows, found, columns),
        columns=columns,
        layers=[(layer, _numbers_of_layer(layer, columns)) for layer in grouping.layers_of(found)],
        units=found,
        chosen=lambda unit: _on_overview(unit, columns, len(found)),
        judged=any(row.recognized is not None for row in rows),
        measured=any(known(row.percentile) for row in rows),
        sortable=[entry for entry in _SORTABLE if any(known(getattr(row, entry[1])) for row in rows)],
        comparison=comparison and table(comparison),
        command=command,
        settings=list(flat(settings)),
        abreast=_abreast(found, columns),
        side=_side(sizes[0][0]),
    )
    write_whole(folder / "index.html", overview)
    return folder / "index.html"


def _write_image(folder: Path, row: Row, image: Tensor) -> str:
    """Writes the image, and a small one beside it where it is large; returns the path of what is shown in small."""
    (picture,) = pictures(image[None])
    write_whole(folder / row.image, png(picture))
    if picture.width <= 256:
        return row.image
    thumb = f"thumbs/{row.image.rpartition('.')[0].removeprefix('images/')}.webp"
    small = picture.resize((THUMB, round(THUMB * picture.height / picture.width)), Image.Resampling.LANCZOS)
    with written_aside(folder / thumb) as aside:
        small.save(aside, format="WEBP", quality=85)
    return thumb


class _UnitPages:
    """Writes the pages of the units. What they share, and each one's neighbours."""

    def __init__(
        self,
        folder: Path,
        images: Tensor | Sequence[Tensor],
        title: str,
        command: str,
        settings: dict[str, Any],
        columns: list[Column],
        units: list[Unit],
    ) -> None:
        self._folder, self._images, self._units, self._columns = folder, images, units, columns
        self._real = RealImages(folder)
        self._command, self._prior, self._target = command, settings.get("prior"), settings.get("target")
        self._shared = dict(run=title, settings=list(flat(settings)), root="../")

    def write(self, unit: Unit, notes: UnitNotes) -> None:
        real = [self._real.show(image) for image in notes.real]
        best = max((image.activation for image in notes.real if known(image.activation)), default=None)
        rows = [shot.row for shot in unit.shots]
        own = sorted({shot.column for shot in unit.shots})
        page = render(
            "unit.html",
            unit=unit,
            before=self._units[unit.number - 1] if unit.number else None,
            after=self._units[unit.number + 1] if unit.number + 1 < len(self._units) else None,
            count=len(self._units),
            summary=grouping.sentence_of(unit, [self._columns[i] for i in own], self._target),
            numbers=_numbers(rows, [unit], own)[2:],
            columns=[(i, self._columns[i], _head(unit.of(i))) for i in own],
            lines=[(facet, seed, [cells[i] for i in own]) for facet, seed, cells in unit.lines(len(self._columns))],
            nearest={shot.place: [self._real.show(image) for image in shot.trace.nearest] for shot in unit.shots},
            fields={shot.place: self._field(shot) for shot in unit.shots if shot.trace.box is not None},
            real=real,
            best=best,
            facets=[(name, [self._real.show(i) for i in some]) for name, some in notes.facets.items()],
            chart=chart([((shot.column, shot.place), shot.trace.curve) for shot in unit.shots], best),
            chart_size=(WIDTH, HEIGHT),
            said=_said(unit, self._columns),
            table=_table(rows),
            command=command_for(self._command, unit.objective, self._prior),
            side=_side(unit.shots[0].size[0]),
            **self._shared,
        )
        write_whole(self._folder / unit.page, page)

    def _field(self, shot: Shot) -> tuple[str, tuple[float, float, float, float] | None]:
        """The file of the receptive field's part of a preferred image, and where it is, in percent."""
        image = self._images[shot.place].detach().float().clamp(0, 1).cpu()
        box = clipped(shot.trace.box, image)
        return (self._real.write(cropped(image, box)), field(box, image)) if field(box, image) else ("", None)


def _head(shots: Sequence[Shot]) -> list[str]:
    """What is said under the title of a column."""
    rows = [shot.row for shot in shots]
    said = []
    if judged := grouping.verdicts(rows):
        said.append(f"{sum(judged)} of {len(judged)} recognized")
    if (middle := grouping.median(rows, "percentile")) is not None:
        said.append(f"median p{percentile(middle)}")
    if (seconds := grouping.mean(rows, "seconds")) is not None:
        said.append(f"{seconds:.2g} s an image")
    return said


def _said(unit: Unit, columns: Sequence[Column]) -> str:
    """The chart in words, for who cannot see it."""
    parts = []
    for i, column in enumerate(columns):
        curves = [shot.trace.curve for shot in unit.of(i) if len(shot.trace.curve)]
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
"""What the overview's cards can be ordered by: name in the page, in the table, and in words."""

_NAMES = {
    "judge_label": "judge’s label",
    "judge_probability": "probability",
    "judge_top5": "top 5",
    "nearest_pixels": "nearest, pixels",
    "nearest_code": "nearest, code",
}
_COLUMNS = (
    *("method", "prior", "facet", "seed", "activation", "percentile", "judge_label", "judge_probability"),
    *("recognized", "judge_top5", "nearest_pixels", "nearest_code", "steps", "seconds", "note"),
)


def _table(rows: Sequence[Row]) -> tuple[list[tuple[str, str]], Sequence[Row]]:
    """(column, heading) of what is known of any row, and the rows."""
    shown = [name for name in _COLUMNS if any(getattr(row, name) not in (None, "") for row in rows)]
    return [(name, _NAMES.get(name, name)) for name in shown], rows


def _numbers(rows: Sequence[Row], units: Sequence[Unit], columns: Sequence[Any]) -> list[tuple[str, str]]:
    """What stands large at a page's head. Over several methods no mean means anything."""
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


def _numbers_of_layer(layer: Layer, columns: Sequence[Column]) -> str:
    rows = [shot.row for unit in layer.units for shot in unit.shots]
    said = [counted(len(layer.units), "unit")]
    if len(columns) > 1:
        return said[0]
    if judged := grouping.verdicts(rows):
        said.append(f"{percent(sum(judged) / len(judged))} recognized")
    if (middle := grouping.median(rows, "percentile")) is not None:
        said.append(f"median percentile {percentile(middle)}")
    return ", ".join(said)


def _on_overview(unit: Unit, columns: Sequence[Column], units: int) -> list[Shot]:
    """The shots that stand for a unit on the overview: the first of each column; of one column, all, as long as the
    page stays light. Never the best ones."""
    if len(columns) > 1:
        return [shots[0] for i in range(len(columns)) if (shots := unit.of(i))]
    return unit.shots[: max(4, min(16, ON_OVERVIEW // units))]


def _abreast(units: Sequence[Unit], columns: Sequence[Column]) -> int:
    return min(4, max(len(_on_overview(unit, columns, len(units))) for unit in units))


def _side(width: int) -> int:
    """Pixels of a picture's width as a page shows it: an integer enlargement of a small one."""
    return min(168, max(1, -(-112 // width)) * width)
