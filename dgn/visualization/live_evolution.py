"""Generations that are kept, with a page that shows the running search."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from dgn.report.evolution_page import EvolutionCurve, write_evolution_page
from dgn.visualization.generations import Generations


@dataclass(frozen=True)
class LiveGenerations(Generations):
    """As `Generations`, and rewrites the page after each.

    Attributes:
        page_folder: the folder of `evolution.html`.
        title: of the page.
    """

    page_folder: Path = field(default_factory=Path)
    title: str = ""

    def add(self, generation: int, candidates: Tensor, scores: Tensor, images: Tensor) -> None:
        super().add(generation, candidates, scores, images)
        self.show(running=True)

    def show(self, running: bool) -> None:
        """Writes the page from the generations that are kept.

        Args:
            running: whether the page reloads itself.
        """
        curves = []
        for name, row in zip(self.searches, self.load(), strict=True):
            scores: Sequence[Tensor] = [generation.scores for generation in row]
            best = [(number, generation.best, generation.images) for number, generation in enumerate(row)]
            curves.append(EvolutionCurve(name, scores, best))
        write_evolution_page(self.page_folder, self.title, curves, running)
