"""The page of a running evolution: scores over generations, and the best images."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dgn.data.display import as_rgb
from dgn.files import write_whole
from dgn.report.curves import HEIGHT, WIDTH, chart
from dgn.report.pages import render, write_assets

PAGE = "evolution.html"
_RELOAD = 5  # seconds
_BEST = 8
_STRIP = 12


@dataclass(frozen=True)
class EvolutionCurve:
    """A search without gradients, as far as it is.

    Attributes:
        name: its objective and seed.
        scores: (population,) of each generation, NaN where an image has none.
        best: (number, scores (k,), uint8 images (k, 3, H, W)) of the best images of each generation, best first.
    """

    name: str
    scores: Sequence[Tensor]
    best: Sequence[tuple[int, Tensor, Tensor]]


def write_evolution_page(
    folder: Path, title: str, searches: Sequence[EvolutionCurve], running: bool, further: int = 0
) -> Path:
    """Writes `evolution.html`.

    Args:
        folder: where to.
        title: its heading.
        searches: what it shows.
        running: whether it reloads itself every few seconds.
        further: the number of searches that it does not show.

    Returns:
        Its path.
    """
    shown = []
    for search in searches:
        if not search.scores:
            continue
        shown.append(_shown(search))
    page = render(
        "evolution.html",
        root="",
        title=title,
        searches=shown,
        reload=_RELOAD if running else 0,
        chart_size=(WIDTH, HEIGHT),
        further=further,
    )
    write_assets(folder)
    write_whole(folder / PAGE, page)
    return folder / PAGE


def _shown(search: EvolutionCurve) -> dict[str, object]:
    highest = [float(_known(scores).max()) if len(_known(scores)) else float("nan") for scores in search.scores]
    means = [float(_known(scores).mean()) if len(_known(scores)) else float("nan") for scores in search.scores]
    every = [(float(s), number, picture) for number, scores, images in search.best
             for s, picture in zip(scores, images, strict=True) if s.isfinite()]  # fmt: skip
    ranked = sorted(every, key=lambda entry: -entry[0])
    firsts = [(float(scores[0]), number, images[0]) for number, scores, images in search.best if scores[0].isfinite()]
    step = max(1, -(-len(firsts) // _STRIP))
    missed = sum(int((~scores.isfinite()).sum()) for scores in search.scores)
    return {
        "name": search.name,
        "chart": chart([((0, 0), highest), ((1, 0), means)]),
        "numbers": [
            (str(len(search.scores)), "generations"),
            (str(sum(len(scores) for scores in search.scores)), "images"),
            *([(str(missed), "without a score")] if missed else []),
            (f"{ranked[0][0]:.4g}" if ranked else "–", "best score"),
            (f"{means[-1]:.4g}", "mean of the last"),
        ],
        "best": _pictures(_distinct(ranked)[:_BEST]),
        "strip": _pictures(firsts[::step]),
        "values": list(zip(highest, means, strict=True)),
    }


def _known(scores: Tensor) -> Tensor:
    return scores[scores.isfinite()]


def _distinct(ranked: Sequence[tuple[float, int, Tensor]]) -> list[tuple[float, int, Tensor]]:
    """Leaves out images that are there already: strategies that keep their best show them again."""
    distinct: list[tuple[float, int, Tensor]] = []
    for entry in ranked:
        if len(distinct) == _BEST:
            break
        if not any(torch.equal(entry[2], other[2]) for other in distinct):
            distinct.append(entry)
    return distinct


def _pictures(entries: Sequence[tuple[float, int, Tensor]]) -> list[tuple[str, str, int]]:
    """Returns (data URI, score, generation) of images."""
    return [(_data_uri(image), f"{score:.4g}", number) for score, number, image in entries]


def _data_uri(image: Tensor) -> str:
    data = io.BytesIO()
    Image.fromarray(as_rgb(image[None])[0].permute(1, 2, 0).numpy()).save(data, format="PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
