"""The table of scores as Markdown: one row for each method, over all priors of the same layer.

A method that searches the codes of several priors, e.g. of several training seeds, has one row with the lowest and the
highest of its figures over the priors. Every other row has its figures with their 95% intervals over units.
"""

from collections.abc import Mapping, Sequence

from dgn.metrics.scores import Measured, Scores

COLUMNS: Mapping[str, str] = {
    "2afc": "2AFC",
    "mis": "MIS",
    "causal": "causal",
    "frechet": "Frechet",
    "kid": "KID",
    "diversity": "diversity",
    "gain": "gain",
    "paths": "paths",
    "percentile": "percentile",
    "wrong_class_start": "wrong-class start",
    "top1": "recognized",
}
"""The figures of the table and their headings, in the order of docs/metrics.md."""


def markdown(scores: Scores) -> str:
    """Returns the table of scores as Markdown; figures that no row has are left out.

    Args:
        scores: of every method and prior.
    """
    figures = [name for name in COLUMNS if name in scores.figures]
    header = ["method", "start", "prior", *(COLUMNS[name] for name in figures)]
    lines = [_line(header), _line(["---"] * len(header))]
    for rows in _groups(scores.rows):
        first = rows[0]
        prior = first.prior if len(rows) == 1 else f"{len(rows)} of {first.layer}"
        lines.append(_line([first.method, first.start, prior, *(_cell(scores, rows, name) for name in figures)]))
    return "\n".join(lines) + "\n"


def _groups(rows: Sequence[Measured]) -> list[list[Measured]]:
    """Puts the rows of one method with several priors of one layer together, in the order of their first ones."""
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for row in rows:
        groups.setdefault((row.method, row.start, row.layer), []).append(row)
    return list(groups.values())


def _cell(scores: Scores, rows: Sequence[Measured], figure: str) -> str:
    estimates = [estimate for row in rows if (estimate := scores.estimate(row, figure)) is not None]
    if not estimates:
        return "–"
    values = [estimate.value for estimate in estimates]
    if len(rows) > 1:
        low, high = _number(min(values)), _number(max(values))
        return low if low == high else f"{low} to {high}"
    only = estimates[0]
    if only.low is None or only.high is None:
        return _number(only.value)
    return f"{_number(only.value)} ({_number(only.low)} to {_number(only.high)})"


def _number(value: float) -> str:
    """Returns two decimals of a number below 10, and one of others."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
