"""CMA-ES whose covariance is kept as a factor that is updated by one direction at a time."""

import math

import numpy as np

from dgn.am.evolution.strategy import Array, best_first, recombination_weights


class CholeskyCMA:
    """CMA-ES with the covariance A'A, without any decomposition (Suttorp, Hansen & Igel 2009).

    This is the variant that XDream's successors evolve images with (Wang & Ponce 2022): the step size adapts in every
    generation, A along the evolution path in every tenth. A starts as the identity and is kept as a multiple of it plus
    a sum of outer products, so that codes of thousands of units cost no d x d matrix.

    Args:
        start: (d,), the first mean.
        unit: see `MakeStrategy`.
        generations: not used: the step size adapts.
        seed: of its random numbers.
        population: vectors in a generation.
        sigma: the first standard deviation, on the scale of CaffeNet's fc6 (published: 3).
        every: generations from one update of A to the next.
    """

    def __init__(
        self,
        start: Array,
        unit: float,
        generations: int,
        seed: int,
        population: int = 40,
        sigma: float = 3.0,
        every: int = 10,
    ) -> None:
        count = start.size
        self.centre, self.sigma = start.copy(), sigma * unit
        self.population, self._every, self._generation = population, every, 0
        self._random = np.random.default_rng(seed)
        self._weights = recombination_weights(max(1, population // 2))
        effective = 1 / float(np.square(self._weights).sum())
        self._path_rate = 4 / (count + 4)
        self._step_rate = math.sqrt(effective) / (math.sqrt(effective) + math.sqrt(count))
        self._update_rate = 2 / (count + math.sqrt(2)) ** 2
        self._damping = 1 + self._step_rate + 2 * max(0.0, math.sqrt((effective - 1) / (count + 1)) - 1)
        self._path_scale = math.sqrt(self._path_rate * (2 - self._path_rate) * effective)
        self._step_scale = math.sqrt(self._step_rate * (2 - self._step_rate) * effective)
        self._expected = math.sqrt(count) * (1 - 1 / (4 * count) + 1 / (21 * count**2))  # the mean of |N(0, I)|
        self._path, self._step_path = np.zeros(count), np.zeros(count)
        self._factor, self._inverse = _NearIdentity(), _NearIdentity()

    def ask(self) -> Array:
        normal = self._random.standard_normal((self.population, self.centre.size))
        return self.centre + self.sigma * self._factor.applied(normal)

    def tell(self, vectors: Array, scores: Array) -> None:
        chosen = vectors[best_first(scores)[: len(self._weights)]]
        # In the coordinates in which vectors were drawn, also of those that were moved into bounds.
        moved = self._inverse.applied((self._weights @ chosen - self.centre)[None] / self.sigma)[0]
        self.centre = self._weights @ chosen
        self._step_path = (1 - self._step_rate) * self._step_path + self._step_scale * moved
        along = self._factor.applied(moved[None])[0]
        self._path = (1 - self._path_rate) * self._path + self._path_scale * along
        norm = float(np.linalg.norm(self._step_path))
        self.sigma *= math.exp(self._step_rate / self._damping * (norm / self._expected - 1))
        self._generation += 1
        if self._generation % self._every == 0:
            self._update()

    def _update(self) -> None:
        """A <- sqrt(1 - c) A + ... v' p, with v = p A^-1, so that A'A <- (1 - c) A'A + c p'p; and A^-1 with it."""
        v = self._inverse.applied(self._path[None])[0]
        square = float(v @ v)
        if square == 0:
            return
        rate = self._update_rate
        shrink, stretch = math.sqrt(1 - rate), math.sqrt(1 + square * rate / (1 - rate))
        self._factor.add(shrink, shrink / square * (stretch - 1), v, self._path)
        # applied() multiplies from the right: A^-1 v' is a column, found with the transposed products.
        self._inverse.add(1 / shrink, -(1 - 1 / stretch) / (shrink * square), self._inverse.transposed(v), v)


class _NearIdentity:
    """The matrix s I + sum_k left_k' right_k."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.left: list[Array] = []
        self.right: list[Array] = []

    def applied(self, rows: Array) -> Array:
        """Returns rows times the matrix."""
        if not self.left:
            return self.scale * rows
        return self.scale * rows + (rows @ np.stack(self.left).T) @ np.stack(self.right)

    def transposed(self, column: Array) -> Array:
        """Returns the matrix times a column."""
        if not self.left:
            return self.scale * column
        return self.scale * column + (np.stack(self.right) @ column) @ np.stack(self.left)

    def add(self, scale: float, weight: float, left: Array, right: Array) -> None:
        """Multiplies the matrix by `scale` and adds weight left' right."""
        self.scale *= scale
        self.left = [scale * vector for vector in self.left]
        self.left.append(weight * left)
        self.right.append(right.copy())
