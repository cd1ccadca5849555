"""How an activation ranks among those on real images."""

from torch import Tensor


def percentiles(activations: Tensor, real: Tensor) -> list[float]:
    """activations: (N,); real: (images, N), the same N objectives on real images -> percent of the real images
    whose activation is below, half of those equal counted (the usual mid-rank)."""
    below = (real < activations).float().mean(0)
    equal = (real == activations).float().mean(0)
    return (100 * (below + equal / 2)).tolist()
