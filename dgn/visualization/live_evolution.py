"""Generations that are kept, with a page that shows the running search and those before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from dgn.report.evolution_page import EvolutionCurve, write_evolution_page
from dgn.visualization.generations import FIRST, Generations, kept_generations

TITLE = "Evolution"
_SEARCHES = 12
"""How many searches the page shows: the running ones, and the last before them."""


@dataclass(frozen=True)
class LiveGenerations(Generations):
    """As `Generations`, and rewrites the page after each.

    Attributes:
        page_folder: the folder of `evolution.html`.
        title: of the page.
        run: the folder of the generations of all searches of the run, which the page shows too; None: there are no
            others.
    """

    page_folder: Path = field(default_factory=Path)
    title: str = TITLE
    run: Path | None = None

    def add(self, generation: int, candidates: Tensor, scores: Tensor, images: Tensor) -> None:
        super().add(generation, candidates, scores, images)
        others = [] if self.run is None else [kept for kept in all_generations(self.run) if kept.folder != self.folder]
        _write_page(self.page_folder, self.title, [self, *others], running=True)


def all_generations(run: Path) -> list[Generations]:
    """Returns the generations of all searches below a folder, the last that were begun first."""
    found = filter(None, map(kept_generations, (path.parent for path in run.rglob(FIRST))))
    return sorted(found, key=lambda kept: (kept.began, str(kept.folder)), reverse=True)


def end_page(page_folder: Path, run: Path) -> None:
    """Writes the page of a run whose searches have all ended; none if nothing was evolved."""
    if run.is_dir():
        _write_page(page_folder, TITLE, all_generations(run), running=False)


def _write_page(folder: Path, title: str, kept: Sequence[Generations], running: bool) -> None:
    curves: list[EvolutionCurve] = []
    count = 0
    for generations in kept:
        count += len(generations.searches)
        if len(curves) >= _SEARCHES:
            continue
        for name, row in zip(generations.searches, generations.load(), strict=True):
            scores: Sequence[Tensor] = [generation.scores for generation in row]
            best = [(number, generation.best, generation.images) for number, generation in enumerate(row)]
            heading = " · ".join(filter(None, (name, generations.method)))
            curves.append(EvolutionCurve(heading, scores, best))
    write_evolution_page(folder, title, curves, running, further=count - len(curves))
