"""The genetic algorithm of XDream."""

import numpy as np

from dgn.am.evolution.strategy import Array, best_first
from dgn.errors import UserError


class Genetic:
    """A genetic algorithm over codes (Ponce et al. 2019, with the settings of XDream's published experiment).

    The best vectors are kept and scored again. The others are children of two parents, drawn with a probability of
    exp(score / temperature): each unit comes from one of them, and some are mutated.

    Args:
        start: (d,); the first generation is normal around it.
        unit: see `MakeStrategy`.
        generations: not used.
        seed: of its random numbers.
        population: vectors in a generation.
        keep: how many of the best stay as they are.
        temperature: in standard deviations of the generation's scores; lower selects more strictly.
        skew: the share of units that come from the first parent.
        mutation_rate: the share of a child's units that are mutated.
        mutation_size: the standard deviation of a mutation, on the scale of CaffeNet's fc6.
        spread: that of the first generation.

    Raises:
        UserError: for `keep` above `population`.
    """

    def __init__(
        self,
        start: Array,
        unit: float,
        generations: int,
        seed: int,
        population: int = 40,
        keep: int = 10,
        temperature: float = 2.0,
        skew: float = 0.75,
        mutation_rate: float = 0.25,
        mutation_size: float = 0.75,
        spread: float = 1.0,
    ) -> None:
        if not 0 <= keep < population:
            raise UserError(
                f"keep={keep}: give a number from 0 to the population less one, {population - 1} "
                "(method.update.strategy.keep=)"
            )
        self._random, self._unit = np.random.default_rng(seed), unit
        self._keep, self._temperature, self._skew = keep, temperature, skew
        self._mutation_rate, self._mutation_size = mutation_rate, mutation_size
        self._next = start + spread * unit * self._random.standard_normal((population, start.size))
        self.centre, self.population = start.copy(), population

    def ask(self) -> Array:
        return self._next.copy()

    def tell(self, vectors: Array, scores: Array) -> None:
        order = best_first(scores)
        vectors, scores = vectors[order], scores[order]
        temperature = max(self._temperature * float(scores.std()), 1e-12)
        chances = np.exp((scores - scores[0]) / temperature)
        children = len(vectors) - self._keep
        parents = self._random.choice(len(vectors), (2, children), p=chances / chances.sum())
        first = self._random.random((children, vectors.shape[1])) < self._skew
        born = np.where(first, vectors[parents[0]], vectors[parents[1]])
        mutated = self._random.random(born.shape) < self._mutation_rate
        sizes = self._mutation_size * self._unit * self._random.standard_normal(born.shape)
        self._next = np.concatenate([vectors[: self._keep], born + mutated * sizes])
        self.centre = vectors[0].copy()
