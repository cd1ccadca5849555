"""Generator priors for any image network, and what its neurons prefer to see through them."""
