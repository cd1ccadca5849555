"""The prior: what passes from training to visualizing, and the ways in which priors are found, imported and shared."""

from dgn.prior.generator_prior import Prior
from dgn.prior.location import find_prior

__all__ = ["Prior", "find_prior"]
