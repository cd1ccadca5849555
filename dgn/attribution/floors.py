"""Maps that know nothing of the network: what a map has to beat."""

import torch
from torch import Tensor


def random_map(height: int, width: int, seed: int = 0) -> Tensor:
    """Returns a map (H, W) of independent random numbers in [0, 1]."""
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed))


def centre_map(height: int, width: int) -> Tensor:
    """Returns a map (H, W) that is largest in the middle of the image, where photographers put things."""
    rows = torch.linspace(-1, 1, height)[:, None]
    columns = torch.linspace(-1, 1, width)[None]
    return torch.exp(-2 * (rows.square() + columns.square()))
