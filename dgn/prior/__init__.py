"""The prior, the result of training and the input of visualization: finding, importing and sharing priors."""

from dgn.prior.generator_prior import Prior
from dgn.prior.location import find_prior

__all__ = ["Prior", "find_prior"]
