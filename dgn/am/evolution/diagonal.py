"""CMA-ES with a diagonal covariance, by the library cmaes."""

import numpy as np

from dgn.am.evolution.strategy import Array
from dgn.errors import UserError


class DiagonalCMA:
    """CMA-ES that learns a variance for each parameter (sep-CMA-ES, Ros & Hansen 2008), from `cmaes.SepCMA`.

    Args:
        start: (d,), the first mean.
        unit: see `MakeStrategy`.
        generations: not used: the step size adapts.
        seed: of its random numbers.
        population: vectors in a generation.
        sigma: the first standard deviation, on the scale of CaffeNet's fc6; 2 in the published benchmark (Wang & Ponce
            2022).

    Raises:
        UserError: if the library is not installed.
    """

    def __init__(
        self, start: Array, unit: float, generations: int, seed: int, population: int = 40, sigma: float = 2.0
    ) -> None:
        try:
            from cmaes import SepCMA
        except ImportError:
            raise UserError(
                "method=cma needs the library cmaes: pip install 'dgn[evolution]'; method=cma_sphere needs no library"
            ) from None
        self._cma = SepCMA(start.copy(), sigma * unit, seed=seed % 2**32, population_size=population)
        self.population = population

    @property
    def centre(self) -> Array:
        mean: Array = self._cma.mean.copy()
        return mean

    def ask(self) -> Array:
        return np.stack([self._cma.ask() for _ in range(self.population)])

    def tell(self, vectors: Array, scores: Array) -> None:
        self._cma.tell([(vector, -float(score)) for vector, score in zip(vectors, scores, strict=True)])
