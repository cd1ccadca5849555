"""HTML pages from templates, with a style and scripts that all pages share.

A page is a template that extends `base.html` and is rendered with `root`, the relative path from its folder to the
one given to `write_assets`: "" or "../".
"""

from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from dgn.files import write_whole
from dgn.report import words
from dgn.report.results import Row

ASSETS = ("page.css", "inspection.css", "page.js", "overview.js", "unit.js", "embedding.js")


def render(template: str, **context: Any) -> str:
    """Returns the page as HTML. All values in the context are escaped."""
    return _TEMPLATES.get_template(template).render(**context)


def write_assets(folder: str | Path) -> None:
    """Writes the style and the scripts into `folder`/assets."""
    for name in ASSETS:
        content = resources.files("dgn.report").joinpath("templates", name).read_text(encoding="utf-8")
        write_whole(Path(folder) / "assets" / name, content)


def _plain(value: float | None) -> str:
    """Returns a number in a form that scripts parse; "" if there is none."""
    return repr(float(value)) if words.known(value) else ""


def _value(row: Row, name: str) -> str:
    """Returns a row's value as text for a table."""
    value = getattr(row, name)
    if value is None or value == "":
        return "–"
    if name == "percentile":
        return words.percentile(value)
    if isinstance(value, bool) or name in ("recognized", "judge_top5"):
        return "yes" if value else "no"
    return words.number(value) if isinstance(value, float) else str(value)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dgn.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= dict(
    number=words.number,
    percentile=words.percentile,
    percent=words.percent,
    counted=words.counted,
    known=words.known,
    path=quote,
    plain=_plain,
    parts=words.name_parts,
    value=_value,
)
