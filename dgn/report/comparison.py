"""The table that compares methods, as shown by the macro `comparison` of templates/macros.html."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dgn.report.contents import Comparison, Contender, Interval, Metric
from dgn.report.words import known, number, percent


@dataclass(frozen=True)
class Cell:
    """A figure in the table.

    Attributes:
        text: the figure.
        interval: the interval as text; "" if there is none.
        best: whether it is the best of its column, excluding real images.
        at: the position of the figure on the column's scale, in percent.
        low: the position of the interval's lower end, in percent.
        width: the width of the interval, in percent.
        real: the position of real images, in percent; None if they were not measured.
    """

    text: str
    interval: str
    best: bool
    at: float
    low: float
    width: float
    real: float | None


@dataclass(frozen=True)
class Table:
    """A comparison laid out as a table.

    Attributes:
        metrics: the columns.
        rows: each contender with a cell for each metric, None if it was not measured.
        reference: the row of real images.
        priors: whether any contender has a prior.
        starts: whether any contender says where its searches started.
        with_intervals: whether any figure has an interval.
        note: how the intervals were computed.
    """

    metrics: Sequence[Metric]
    rows: list[tuple[Contender, list[Cell | None]]]
    reference: tuple[Contender, list[Cell | None]] | None
    priors: bool
    starts: bool
    with_intervals: bool
    note: str


def table(comparison: Comparison) -> Table:
    """Returns the comparison as a page shows it."""
    real = comparison.reference
    everyone = [*comparison.contenders, *([real] if real else [])]
    columns = [_column(metric, comparison.contenders, real) for metric in comparison.metrics]
    cells = [[column(contender) for column in columns] for contender in everyone]
    rows = list(zip(everyone, cells, strict=True))
    return Table(
        comparison.metrics,
        rows[: len(comparison.contenders)],
        rows[-1] if real else None,
        any(contender.prior for contender in comparison.contenders),
        any(contender.start for contender in comparison.contenders),
        any(cell.interval for line in cells for cell in line if cell),
        comparison.note,
    )


def _column(
    metric: Metric, contenders: Sequence[Contender], real: Contender | None
) -> Callable[[Contender], Cell | None]:
    reference = _figure(real, metric) if real else None
    figures = [figure for c in [*contenders, *([real] if real else [])] if (figure := _figure(c, metric))]
    ends = [end for f in figures for end in (f.low, f.value, f.high) if known(end)] or [0.0]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0
    values = [figure.value for c in contenders if (figure := _figure(c, metric))]
    best = (max if metric.better == "higher" else min)(values) if metric.better and len(set(values)) > 1 else None
    format_value = percent if metric.percent else number

    def position(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 1)  # a margin, so that a dot at an end is whole

    def cell(contender: Contender) -> Cell | None:
        figure = _figure(contender, metric)
        if figure is None:
            return None
        at, is_best = position(figure.value), contender is not real and figure.value == best
        line = position(reference.value) if reference else None
        if not (known(figure.low) and known(figure.high)):
            return Cell(format_value(figure.value), "", is_best, at, at, 0.0, line)
        left, right = position(figure.low), position(figure.high)
        interval = f"{format_value(figure.low)} to {format_value(figure.high)}"
        return Cell(format_value(figure.value), interval, is_best, at, left, round(right - left, 1), line)

    return cell


def _figure(contender: Contender, metric: Metric) -> Interval | None:
    figure = contender.figures.get(metric.name)
    return figure if figure is not None and known(figure.value) else None
