"""The table of numbers on a unit's page."""

from collections.abc import Sequence

from dgn.report.results import Row

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


def row_table(rows: Sequence[Row]) -> tuple[list[tuple[str, str]], Sequence[Row]]:
    """Returns (column, heading) of the columns with a value in any row, and the rows."""
    shown = [name for name in _COLUMNS if any(getattr(row, name) not in (None, "") for row in rows)]
    return [(name, _NAMES.get(name, name)) for name in shown], rows
