"""Where finished searches are kept, so that a run that is stopped goes on after them."""

from collections.abc import Sequence
from typing import Protocol

from dgn.am.objectives.algebra import Objective
from dgn.am.preferred import Preferred


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

    def add(self, number: int, preferred: Preferred, seconds: float) -> None:
        """Keeps a batch.

        Args:
            number: the number of the batch.
            preferred: what its searches found.
            seconds: how long they took.
        """
