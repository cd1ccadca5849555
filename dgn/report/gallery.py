"""The page of a run: every unit with its preferred images, as files that a browser opens from disk."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import torch
from torch import Tensor

from dgn.files import write_whole, written_aside
from dgn.report.contact_sheet import save_contact_sheet
from dgn.report.contents import Comparison, Trace, UnitNotes
from dgn.report.figures import pictures
from dgn.report.results import Row, plain, write_results


def write_gallery(
    folder: str | Path,
    rows: Sequence[Row],
    images: Tensor,
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

    The images at their rows' `image`, results.csv, results.json, contact_sheet.png and, last, index.html: where
    the page is, everything it shows is.

    rows: one an image; those of one objective and method become one card, in the order of their first.
    images: float (len(rows), 3, H, W) in image space.
    settings: any nesting of mappings and lists; shown, and written to results.json.
    command: what makes the same again, ready to be copied.
    summary: the sentence under the title. None: made of the rows and of `settings`' target, prior and steps.
    traces: one a row, beyond it: curve, nearest real images, film, receptive field.
    units: of objectives, by their expression (a row's `objective`): real images that excite them, facets.
    comparison: the table of methods and priors.
    """
    folder = Path(folder)
    for row, picture in zip(rows, pictures(images), strict=True):
        with written_aside(folder / row.image) as aside:
            picture.save(aside, format="PNG")
    write_results(folder, rows, settings)
    cards = _cards(rows)
    _write_sheet(folder / "contact_sheet.png", cards, images)
    page = _TEMPLATES.get_template("gallery.html").render(
        title=title,
        summary=summary or _sentence(rows, len(cards), settings),
        numbers=_numbers(rows, cards),
        cards=cards,
        judged=any(row.judge_label for row in rows),
        measured=any(_known(row.percentile) for row in rows),
        command=command,
        settings=list(_flat(plain(settings))),
        **_sizes(images, cards),
    )
    write_whole(folder / "index.html", page)
    return folder / "index.html"


@dataclass(frozen=True)
class Card:
    """A unit (an objective, by one method) with its images: the rows and their places in the run."""

    title: str
    objective: str
    method: str
    rows: list[Row]
    places: list[int]

    @property
    def text(self) -> str:
        """What the filter box searches."""
        first = self.rows[0]
        return " ".join((first.label, self.objective, first.layer, first.unit, self.method)).lower()

    def mean(self, name: str) -> str:
        """The mean over the seeds of a numeric column, "" where it is known of none: what sorting goes by."""
        known = [value for row in self.rows if _known(value := getattr(row, name))]
        return repr(statistics.fmean(known)) if known else ""


def _cards(rows: Sequence[Row]) -> list[Card]:
    several_methods = len({row.method for row in rows}) > 1
    cards: dict[tuple[str, str], Card] = {}
    for place, row in enumerate(rows):
        method = row.method if several_methods else ""
        empty = Card(row.label or row.objective, row.objective, method, [], [])
        card = cards.setdefault((row.objective, row.method), empty)
        card.rows.append(row)
        card.places.append(place)
    return list(cards.values())


def _write_sheet(path: Path, cards: Sequence[Card], images: Tensor) -> None:
    most = max(len(card.rows) for card in cards)
    places = [place for card in cards for place in card.places]
    if places != list(range(len(cards) * most)):  # white where a unit has fewer images than another
        sheet = images.new_ones(len(cards) * most, *images.shape[1:])
        at = [number * most + i for number, card in enumerate(cards) for i in range(len(card.rows))]
        sheet[torch.tensor(at)] = images[torch.tensor(places)]
        images = sheet
    titles = [" · ".join(dict.fromkeys(filter(None, (c.title, c.objective, c.method)))) for c in cards]
    save_contact_sheet(path, images, titles, most)


def _sentence(rows: Sequence[Row], cards: int, settings: Mapping[str, Any]) -> str:
    layers = list(dict.fromkeys(row.layer for row in rows))
    sentence = f"{'Images' if len(rows) > 1 else 'The image'} that {_counted(cards, 'unit')} of {_listed(layers)}"
    if target := _name(settings.get("target")):
        sentence += f" in {target}"
    sentence += " prefers" if cards == 1 else " prefer"
    if len(rows) > cards > 1 and len(rows) % cards == 0:
        sentence += f", {len(rows) // cards} each"
    sentence += f", found by {_listed(list(dict.fromkeys(row.method for row in rows)))}"
    if steps := _steps(settings):
        sentence += f" in {steps} steps"
    if prior := _name(settings.get("prior")):
        sentence += f" through the prior {prior}"
    return sentence + "."


def _numbers(rows: Sequence[Row], cards: Sequence[Card]) -> list[tuple[str, str]]:
    numbers = [
        (f"{len(cards):,}", "unit" if len(cards) == 1 else "units"),
        (f"{len(rows):,}", "image" if len(rows) == 1 else "images"),
    ]
    if judged := [row.recognized for row in rows if row.recognized is not None]:
        numbers.append((f"{sum(judged) / len(judged):.0%}", "recognized by the judge"))
    if percentiles := [row.percentile for row in rows if _known(row.percentile)]:
        numbers.append((_percentile(statistics.median(percentiles)), "median percentile"))
    return numbers


def _sizes(images: Tensor, cards: Sequence[Card]) -> dict[str, int]:
    """Pixels of a picture as the page shows it (an integer enlargement of a small one), and pictures abreast."""
    height, width = images.shape[-2:]
    factor = max(1, math.ceil(112 / width))
    shown = min(168, factor * width)
    most = max(len(card.rows) for card in cards)
    return dict(width=shown, height=round(shown * height / width), natural=width, abreast=min(most, 4), most=most)


def _flat(value: Any, key: str = "") -> Any:
    """(dotted key, text) of each setting, nested ones after another."""
    if isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from _flat(entry, f"{key}.{name}" if key else name)
    else:
        yield key, "" if value is None else str(value)


def _name(setting: Any) -> str:
    """What to call a configured thing: its own name, else the last part of the class that makes it."""
    if isinstance(setting, Mapping):
        named = next((setting[key] for key in ("name", "network", "path") if setting.get(key)), None)
        return str(named or str(setting.get("_target_", "")).rpartition(".")[2])
    return str(setting or "")


def _steps(settings: Mapping[str, Any]) -> Any:
    method = settings.get("method")
    places = [settings, method, method.get("update")] if isinstance(method, Mapping) else [settings]
    return next((place["steps"] for place in places if isinstance(place, Mapping) and place.get("steps")), None)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _number(value: float) -> str:
    """Three digits, and no exponent where there need be none."""
    if not _known(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits)}f}"


def _percentile(value: float) -> str:
    """One decimal, cut and not rounded: 100 is said only of what exceeds every real image."""
    return "100" if value >= 100 else f"{math.floor(value * 10) / 10:.1f}"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dgn.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= dict(number=_number, percentile=_percentile, path=quote, known=_known)
