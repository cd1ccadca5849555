"""Search without gradients: evolution strategies that need nothing but a score for each image."""

from dgn.am.evolution.cholesky import CholeskyCMA
from dgn.am.evolution.diagonal import DiagonalCMA
from dgn.am.evolution.genetic import Genetic
from dgn.am.evolution.population import Evolve
from dgn.am.evolution.sphere import SphericalCMA
from dgn.am.evolution.strategy import MakeStrategy

STRATEGIES: dict[str, MakeStrategy] = {
    "cma_sphere": SphericalCMA,
    "cma_cholesky": CholeskyCMA,
    "cma": DiagonalCMA,
    "genetic": Genetic,
}
"""The strategies by the names of the methods that use them (conf/method)."""

__all__ = ["STRATEGIES", "CholeskyCMA", "DiagonalCMA", "Evolve", "Genetic", "SphericalCMA"]
