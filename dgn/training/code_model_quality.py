"""How good a code model is: its samples against real codes that it was not fitted to."""

import torch
from torch import Tensor

from dgn.prior.code_model import CodeModel
from dgn.prior.frechet import frechet

_DRAWN = 1000  # samples, at most as many as there are held-out codes


def quality(model: CodeModel, coordinates: Tensor, held_out: Tensor, seed: int = 0) -> dict[str, float]:
    """Returns figures of a code model, each for as many samples as there are held-out codes (at most 1000).

    `frechet`: the squared Frechet distance of samples to held-out codes, relative to the total variance of these.
    `frechet_real`: that of codes from the training set. The closer the two, the better.
    `nearest`: the median distance of a sample to the nearest training code, and `nearest_real` that of a held-out code.
    A model that memorizes has a `nearest` far below `nearest_real`.

    Args:
        model: The code model.
        coordinates: (N, k), to which it was fitted.
        held_out: (M, k), other real codes; without any, nothing is measured.
        seed: Of the samples.
    """
    count = min(_DRAWN, len(held_out), len(coordinates))
    if count < 2:
        return {}
    real = held_out[:count]
    samples = model.sample(count, torch.Generator().manual_seed(seed))
    spread = float(real.var(0).sum()) or 1.0
    return {
        "frechet": frechet(samples, real) / spread,
        "frechet_real": frechet(coordinates[:count], real) / spread,
        "nearest": _nearest(samples, coordinates),
        "nearest_real": _nearest(real, coordinates),
    }


def _nearest(codes: Tensor, others: Tensor) -> float:
    """Returns the median over codes of the distance to the nearest of the others."""
    parts = [torch.cdist(part, others).amin(1) for part in codes.split(256)]
    return float(torch.cat(parts).median())
