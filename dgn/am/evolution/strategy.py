"""Evolution strategies: from the scores of a generation of vectors to the next generation.

They work on numpy arrays in float64, on the CPU: their cost is small beside that of the images.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Strategy(Protocol):
    """The evolution of one search.

    The next generation depends on nothing but the constructor's arguments and what was told: the same calls give the
    same generations.

    Attributes:
        population: the number of vectors in a generation.
        centre: (d,), the middle of the distribution from which the next generation is drawn.
    """

    @property
    def population(self) -> int: ...

    @property
    def centre(self) -> Array: ...

    def ask(self) -> Array:
        """Returns the vectors of the next generation, (population, d)."""

    def tell(self, vectors: Array, scores: Array) -> None:
        """Takes the scores of a generation.

        Args:
            vectors: (population, d), what was scored: what `ask` gave, or that after it was moved into bounds.
            scores: (population,), finite; higher is better.
        """


class MakeStrategy(Protocol):
    """A strategy whose settings are chosen, such as `functools.partial(SphericalCMA, population=40)`."""

    def __call__(self, start: Array, unit: float, generations: int, seed: int) -> Strategy:
        """Begins a search.

        Args:
            start: (d,), where it starts.
            unit: the size, in these vectors, of 1 as the papers state it (`Parametrization.unit`).
            generations: the number of generations, for schedules.
            seed: of its random numbers.
        """


def recombination_weights(count: int) -> Array:
    """Returns the weights of the best `count` vectors, best first; their sum is 1.

    log(count + 1/2) - log(rank), as in CMA-ES (Hansen & Ostermeier 2001).
    """
    weights = np.log(count + 0.5) - np.log(np.arange(1, count + 1))
    return weights / weights.sum()


def best_first(scores: Array) -> NDArray[np.intp]:
    """Returns the order of vectors from the best to the worst; equal ones stay in order."""
    return np.argsort(-scores, kind="stable")
