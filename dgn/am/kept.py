"""Where finished searches are kept, so that a run that is stopped goes on after them."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.preferred import Preferred


class Journal(Protocol):
    """Keeps the generations of a batch of searches without gradients, so that none is scored twice."""

    def find(self, generation: int) -> tuple[Tensor, Tensor] | None:
        """Returns the candidates (N, population, ...) and their scores (N, population); None if they are not kept."""

    def add(self, generation: int, candidates: Tensor, scores: Tensor, images: Tensor) -> None:
        """Keeps a generation.

        Args:
            generation: its number, over all stages.
            candidates: (N, population, ...), as they were scored.
            scores: (N, population), NaN where there is none.
            images: (N * population, 3, H, W), what was scored.
        """


class Kept(Protocol):
    """Keeps the batches of searches of `dgn.am.maximize.maximize`."""

    @property
    def batch_size(self) -> int | None:
        """The number of searches in the first batch that is kept; None if there is none."""

    def find(self, number: int, objectives: Sequence[Objective], seeds: Sequence[int]) -> Preferred | None:
        """Returns a batch; None if it is not kept, or if it is of other searches.

        Args:
            number: the number of the batch.
            objectives: the objective of each of its searches.
            seeds: their seeds, as the searches have them (shifted).
        """

    def journal(self, number: int, objectives: Sequence[Objective], seeds: Sequence[int]) -> Journal | None:
        """Returns what keeps the generations of a batch, for targets that are no networks; None if nothing does.

        Args:
            number: the number of the batch.
            objectives: the objective of each of its searches.
            seeds: their seeds, shifted.
        """

    def add(self, number: int, preferred: Preferred, seconds: float) -> None:
        """Keeps a batch.

        Args:
            number: the number of the batch.
            preferred: what its searches found.
            seconds: how long they took.
        """
