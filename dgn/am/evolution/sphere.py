"""CMA-ES on a sphere, with a schedule of angles in place of a step size."""

import math

import numpy as np

from dgn.am.evolution.strategy import Array, best_first, recombination_weights
from dgn.errors import UserError


class SphericalCMA:
    """Evolution on a sphere of codes (Wang & Ponce 2022).

    The published optimizers of images let the norm of codes grow, although their direction alone decides what they
    show. This one keeps the norm. A generation is drawn around a centre, at an angle that falls from generation to
    generation. The next centre lies on the great circle from the centre through the weighted mean of the best, `rate`
    times as far as that mean. The published search draws its first generation from the whole sphere; this one around
    its start, as every search does here.

    Args:
        start: (d,), the direction of the first centre.
        unit: see `MakeStrategy`.
        generations: in which the angle falls from `first` to `last`; afterwards it stays.
        seed: of its random numbers.
        population: vectors in a generation.
        select: how many of the best are averaged.
        rate: how far the centre moves, relative to their mean.
        norm: the sphere's radius, on the scale of CaffeNet's fc6 with its 4096 units; codes of d units have
            sqrt(d / 4096) of it.
        first: the first angle, in degrees.
        last: the last angle; exponential in between.

    Raises:
        UserError: for `select` above `population`.
    """

    def __init__(
        self,
        start: Array,
        unit: float,
        generations: int,
        seed: int,
        population: int = 40,
        select: int = 20,
        rate: float = 1.5,
        norm: float = 300.0,
        first: float = 50.0,
        last: float = 7.33,
    ) -> None:
        if not 1 <= select <= population:
            raise UserError(
                f"select={select}: give a number from 1 to the population, {population} "
                "(method.update.strategy.select=)"
            )
        self._random = np.random.default_rng(seed)
        self.radius = norm * math.sqrt(start.size / 4096) * unit
        direction = start if np.linalg.norm(start) > 0 else self._random.standard_normal(start.size)
        self.centre = _on_sphere(direction, self.radius)
        self.population, self._rate, self._weights = population, rate, recombination_weights(select)
        self._first, self._last, self._generations = first, last, generations
        self._generation = 0

    @property
    def angle(self) -> float:
        """The angle of the next generation, in degrees."""
        progress = min(1.0, self._generation / max(1, self._generations - 1))
        return float(self._first * (self._last / self._first) ** progress)

    def ask(self) -> Array:
        normal = self._random.standard_normal((self.population, self.centre.size))
        axis = self.centre / self.radius
        tangents = normal - np.outer(normal @ axis, axis)
        angles = math.radians(self.angle) / math.sqrt(self.centre.size) * np.linalg.norm(tangents, axis=1)
        directions = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
        return self.radius * (np.cos(angles)[:, None] * axis + np.sin(angles)[:, None] * directions)

    def tell(self, vectors: Array, scores: Array) -> None:
        chosen = vectors[best_first(scores)[: len(self._weights)]]
        mean = _on_sphere(self._weights @ chosen, self.radius)
        self.centre = _along_great_circle(self.centre, mean, self._rate, self.radius)
        self._generation += 1


def _on_sphere(vector: Array, radius: float) -> Array:
    return vector * (radius / np.linalg.norm(vector))


def _along_great_circle(start: Array, end: Array, rate: float, radius: float) -> Array:
    """Returns the point `rate` times as far from `start` as `end` is, along the great circle through both."""
    axis, other = start / radius, end / radius
    tangent = other - (other @ axis) * axis
    sine = float(np.linalg.norm(tangent))
    if sine == 0:
        return start
    angle = rate * math.atan2(sine, float(other @ axis))
    return _on_sphere(math.cos(angle) * axis + math.sin(angle) * (tangent / sine), radius)
