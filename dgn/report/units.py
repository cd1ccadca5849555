"""The rows of a run grouped for its pages: by unit, and for each unit in columns by method and prior."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgn.files import file_stem
from dgn.networks.dictionaries.name import abbreviated
from dgn.report.contents import Trace
from dgn.report.results import Row
from dgn.report.words import counted, known, listed, setting_name


@dataclass(frozen=True)
class Column:
    """A column of the pages: a method, and its prior if it has one."""

    method: str
    prior: str

    @property
    def title(self) -> str:
        return " · ".join(filter(None, (self.method, self.prior)))


@dataclass(frozen=True)
class Shot:
    """One preferred image.

    Attributes:
        row: its row.
        trace: details of its search.
        place: the index of its row in the run.
        column: the index of its column.
        thumb: the path of its thumbnail.
        size: (width, height) of the image.
        alt: its text alternative.
    """

    row: Row
    trace: Trace
    place: int
    column: int
    thumb: str
    size: tuple[int, int]
    alt: str


@dataclass(frozen=True)
class UnitResults:
    """An objective with its shots, in the run's order."""

    objective: str
    number: int
    shots: list[Shot] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.shots[0].row.label or abbreviated(self.objective)

    @property
    def layer(self) -> str:
        return self.shots[0].row.layer

    @property
    def page(self) -> str:
        """The path of its own page from the run folder."""
        return f"units/{file_stem(self.objective)}.html"

    @property
    def text(self) -> str:
        """What the filter box searches."""
        first = self.shots[0].row
        facets = dict.fromkeys(shot.row.facet for shot in self.shots)
        return " ".join(filter(None, (first.label, self.objective, first.layer, first.unit, *facets))).lower()

    def shots_in(self, column: int) -> list[Shot]:
        return [shot for shot in self.shots if shot.column == column]

    def verdicts(self, column: int) -> list[bool]:
        return verdicts([shot.row for shot in self.shots_in(column)])

    def mean(self, name: str, column: int) -> float | None:
        """Returns the mean of a number over a column's images; None if no image has it; a fraction for `recognized`."""
        if name == "recognized":
            judged = self.verdicts(column)
            return sum(judged) / len(judged) if judged else None
        return mean([shot.row for shot in self.shots_in(column)], name)

    def lines(self, columns: int) -> Iterator[tuple[str, int, list[list[Shot]]]]:
        """Yields the unit's images as a table: each facet and seed, in order, with the images in each column.

        A column has no image, one, or several if it has several of the same seed.
        """
        table: dict[tuple[str, int], list[list[Shot]]] = {}
        for shot in self.shots:
            line = table.setdefault((shot.row.facet, shot.row.seed), [[] for _ in range(columns)])
            line[shot.column].append(shot)
        for (facet, seed), line in table.items():
            yield facet, seed, line


@dataclass(frozen=True)
class LayerResults:
    """The units of a layer, or of several layers if objectives are sums across them."""

    name: str
    number: int
    units: list[UnitResults]


def describe_start(start: str) -> str:
    """Returns where a search started (`Row.start`) in words, for a caption; "" for noise, or if not recorded."""
    if start in ("", "noise"):
        return ""
    return _STARTS.get(start, f"from {start}")


_STARTS = {
    "real": "from real images",
    "facets": "from real images",
    "sampled facets": "from samples",
    "sample": "from a sample",
}


def describe_starts(rows: Sequence[Row]) -> str:
    """Returns a sentence on what searches started from, for the overview; "" if all of them started from noise."""
    methods: dict[str, dict[str, None]] = {}
    for row in rows:
        if words := describe_start(row.start):
            methods.setdefault(words, {})[row.method] = None
    parts = [f"{' and '.join(names)} started {words}" for words, names in methods.items()]
    return f"Searches of {'; of '.join(parts)}." if parts else ""


def arrange(
    rows: Sequence[Row], traces: Sequence[Trace], thumbs: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> tuple[list[Column], list[UnitResults]]:
    """Returns the columns and the units of a run, each in the order of their first rows."""
    columns = list(dict.fromkeys(Column(row.method, row.prior) for row in rows))
    units: dict[str, UnitResults] = {}
    for place, (row, trace) in enumerate(zip(rows, traces, strict=True)):
        column = Column(row.method, row.prior)
        unit = units.setdefault(row.objective, UnitResults(row.objective, len(units)))
        alt = f"preferred image of {row.objective}"
        alt += f" ({row.label})" if row.label and row.label != row.objective else ""
        alt += f", {row.facet}" if row.facet else ""
        alt += f", seed {row.seed}"
        alt += f", by {column.title}" if len(columns) > 1 else ""
        shot = Shot(row, trace, place, columns.index(column), thumbs[place], sizes[place], alt)
        unit.shots.append(shot)
    return columns, list(units.values())


def group_by_layer(units: Sequence[UnitResults]) -> list[LayerResults]:
    layers: dict[str, LayerResults] = {}
    for unit in units:
        layers.setdefault(unit.layer, LayerResults(unit.layer, len(layers), [])).units.append(unit)
    return list(layers.values())


def mean(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if known(value := getattr(row, name))]
    return statistics.fmean(values) if values else None


def median(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if known(value := getattr(row, name))]
    return statistics.median(values) if values else None


def verdicts(rows: Sequence[Row]) -> list[bool]:
    return [bool(row.recognized) for row in rows if row.recognized is not None]


def describe_run(rows: Sequence[Row], units: int, columns: Sequence[Column], settings: dict[str, Any]) -> str:
    """Describes the page in one sentence."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    text = f"{'Images' if len(rows) > 1 else 'The image'} that {counted(units, 'unit')} of {listed(layers)}"
    if target := setting_name(settings.get("target")):
        text += f" in {target}"
    text += " prefers" if units == 1 else " prefer"
    if len(rows) > units > 1 and len(rows) % units == 0:
        text += f", {len(rows) // units} each"
    text += f", found by {listed(list(dict.fromkeys(row.method for row in rows)))}"
    numbers = {row.steps for row in rows if row.steps}
    steps = numbers.pop() if len(numbers) == 1 else None
    if not any(row.steps for row in rows):
        steps = _steps(settings)
    if steps:
        text += f" in {steps} steps"
    priors = list(dict.fromkeys(column.prior for column in columns if column.prior))
    if prior := listed(priors) or setting_name(settings.get("prior")):
        text += f" through the prior{'s' if len(priors) > 1 else ''} {prior}"
    return text + "."


def describe_unit(unit: UnitResults, columns: Sequence[Column], target: Any) -> str:
    """Describes a unit's page in one sentence."""
    first = unit.shots[0].row
    several = "+" in first.unit or "*" in first.unit
    text = f"{first.layer} in " if several else f"Unit {first.unit} of {first.layer} in "
    text = (text + setting_name(target)) if setting_name(target) else text.removesuffix(" in ")
    text += f": {counted(len(unit.shots), 'image')}, found "
    if len(columns) > 1:
        return text + f"by {len(columns)} methods or priors."
    return text + f"by {columns[0].method}{f' through {columns[0].prior}' if columns[0].prior else ''}."


def _steps(settings: dict[str, Any]) -> Any:
    method = settings.get("method")
    parts = [settings, method, method.get("update")] if isinstance(method, dict) else [settings]
    return next((part["steps"] for part in parts if isinstance(part, dict) and part.get("steps")), None)
