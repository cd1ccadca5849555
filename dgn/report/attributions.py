"""The page of attributions: images, the maps of each method over them, and curves that compare the maps."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import file_stem, write_whole
from dgn.report.contents import Box
from dgn.report.curves import HEIGHT, WIDTH, Chart, chart
from dgn.report.heat import as_picture, coloured, overlaid, transparent
from dgn.report.pages import render, write_assets
from dgn.report.real_images import cropped, png
from dgn.report.real_images import field as box_in_percent
from dgn.report.results import as_json
from dgn.report.words import flat

_POINTS = 101  # of a curve on the page, so that the axis counts percent


@dataclass(frozen=True)
class MapShown:
    """The map of one method.

    Attributes:
        name: The method's name.
        values: (H, W).
        colours: (3, H, W), the attribution of each channel, if the method shows it as a picture.
        deletion, insertion: Its curves; empty if not measured.
        deletion_area, insertion_area: The areas under them.
        is_floor: Whether the map knows nothing of the network.
        zero: What it says if it is 0 everywhere.
    """

    name: str
    values: Tensor | None
    colours: Tensor | None = None
    deletion: Sequence[float] = ()
    insertion: Sequence[float] = ()
    deletion_area: float | None = None
    insertion_area: float | None = None
    is_floor: bool = False
    zero: str = ""


@dataclass(frozen=True)
class Explained:
    """One unit in one image.

    Attributes:
        image: (3, H, W), as the network sees it.
        source: The image's file, or what it is.
        unit: The unit in the unit language.
        title: Its name.
        value: Its value on the image.
        probability: Its probability, of a class unit.
        box: The receptive field of a hidden unit.
        maps: The maps of each method, floors last.
    """

    image: Tensor
    source: str
    unit: str
    title: str
    value: float
    probability: float | None
    box: Box | None
    maps: Sequence[MapShown]

    def as_plain(self) -> dict[str, Any]:
        """Returns tensors and plain values, of which `from_plain` makes the same."""
        return {**vars(self), "maps": [dict(vars(entry)) for entry in self.maps]}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Explained":
        """Returns what `as_plain` was called on."""
        return cls(**{**values, "maps": [MapShown(**entry) for entry in values["maps"]]})


@dataclass
class _Section:
    """What the page shows of one `Explained`."""

    shown: Explained
    image: str
    crop: str
    place: tuple[float, float, float, float] | None
    maps: list[dict[str, Any]] = field(default_factory=list)
    charts: list[tuple[str, str, Chart | None]] = field(default_factory=list)


def write_attributions(
    folder: Path,
    explained: Sequence[Explained],
    title: str,
    command: str,
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
) -> Path:
    """Writes maps, overlays and masks, results.csv and index.html into `folder`; returns the page's path.

    maps/*.npy holds the maps as they are, maps/*.png in colours; overlays/ has them over the images, and masks/ the
    images with the map as their transparency.

    Args:
        folder: The run folder.
        explained: What was explained.
        title: The page's title.
        command: The command that reproduces it.
        settings: The run's settings.
        notes: Sentences about methods that were left out.
        links: {source: the page of the image's activations}.
    """
    sections = []
    for number, shown in enumerate(explained):
        sections.append(_write_files(folder, _stem(number, shown), shown))
    write_whole(folder / "results.csv", _table(explained))
    write_assets(folder)
    page = render(
        "attributions.html",
        root="",
        title=title,
        summary=_summary(explained),
        sections=sections,
        notes=notes,
        links=links or {},
        areas=areas(explained),
        chart_size=(WIDTH, HEIGHT),
        command=command,
        settings=list(flat(as_json(settings))),
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


def overlay_path(number: int, shown: Explained, entry: MapShown) -> str:
    """Returns the path of a map over its image, from the run folder; `number` is the place of `shown` in the run."""
    return _overlay(_stem(number, shown), entry)


def _stem(number: int, shown: Explained) -> str:
    return f"{number:03d}-{file_stem(shown.unit)}"


def _overlay(stem: str, entry: MapShown) -> str:
    return f"overlays/{stem}-{file_stem(entry.name)}.png"


def _write_files(folder: Path, stem: str, shown: Explained) -> _Section:
    image = shown.image.detach().float().clamp(0, 1).cpu()
    where = box_in_percent(shown.box, image)
    section = _Section(shown, _write(folder, f"images/{stem}.png", image), "", where)
    if where is not None:
        section.crop = _write(folder, f"images/{stem}-field.png", cropped(image, shown.box))
    for entry in shown.maps:
        files: dict[str, Any] = {"shown": entry, "map": "", "overlay": "", "mask": ""}
        if entry.values is not None:
            values, name = entry.values.detach().float().cpu(), f"{stem}-{file_stem(entry.name)}"
            buffer = io.BytesIO()
            np.save(buffer, values.numpy())
            write_whole(folder / f"maps/{name}.npy", buffer.getvalue())
            picture = coloured(values) if entry.colours is None else as_picture(entry.colours.detach().float().cpu())
            files["map"] = _write(folder, f"maps/{name}.png", picture)
            files["overlay"] = _write(folder, _overlay(stem, entry), overlaid(image, values))
            files["mask"] = f"masks/{name}.png"
            write_whole(folder / files["mask"], transparent(image, values))
        section.maps.append(files)
    for name, heading in (("deletion", "Deletion: lower is better"), ("insertion", "Insertion: higher is better")):
        curves = [((i, i), _in_percent(getattr(entry, name))) for i, entry in enumerate(shown.maps)]
        section.charts.append((name, heading, chart([curve for curve in curves if len(curve[1])])))
    return section


def _write(folder: Path, path: str, image: Tensor) -> str:
    (picture,) = pictures(image[None])
    write_whole(folder / path, png(picture))
    return path


def _in_percent(curve: Sequence[float]) -> list[float]:
    if not len(curve):
        return []
    return [float(v) for v in np.interp(np.linspace(0, len(curve) - 1, _POINTS), np.arange(len(curve)), curve)]


_COLUMNS = ("image", "unit", "label", "value", "probability", "method", "deletion_area", "insertion_area")


def _table(explained: Sequence[Explained]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for shown in explained:
        label = shown.title if shown.title != shown.unit else ""
        row = (shown.source, shown.unit, label, shown.value, _cell(shown.probability))
        for entry in shown.maps:
            writer.writerow((*row, entry.name, _cell(entry.deletion_area), _cell(entry.insertion_area)))
    return text.getvalue()


def _cell(value: float | None) -> Any:
    return "" if value is None else value


def areas(explained: Sequence[Explained]) -> list[tuple[str, float, float, bool]]:
    """Returns (method, mean deletion area, mean insertion area, whether it is a floor), if curves were measured."""
    found: dict[str, list[MapShown]] = {}
    for shown in explained:
        for entry in shown.maps:
            if entry.deletion_area is not None:
                found.setdefault(entry.name, []).append(entry)
    return [
        (
            name,
            sum(entry.deletion_area or 0.0 for entry in entries) / len(entries),
            sum(entry.insertion_area or 0.0 for entry in entries) / len(entries),
            entries[0].is_floor,
        )
        for name, entries in found.items()
    ]


def _summary(explained: Sequence[Explained]) -> str:
    images = len(dict.fromkeys(shown.source for shown in explained))
    units = len(explained)
    methods = len({entry.name for shown in explained for entry in shown.maps if not entry.is_floor})
    parts = f"{images} image{'s' * (images != 1)}, {units} unit{'s' * (units != 1)}"
    return f"{parts}, {methods} method{'s' * (methods != 1)} that say where the network looked."
