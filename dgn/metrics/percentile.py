"""The rank of an activation among those on real images."""

from torch import Tensor


def percentiles(activations: Tensor, real: Tensor) -> list[float]:
    """Returns the percentage of real images with a lower activation; equal ones count half (the mid-rank).

    Args:
        activations: (N,), of N objectives.
        real: (images, N), of the same objectives on real images.
    """
    below = (real < activations).float().mean(0)
    equal = (real == activations).float().mean(0)
    return (100 * (below + equal / 2)).tolist()
