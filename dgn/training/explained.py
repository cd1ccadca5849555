"""How much of its image a code says: the share of the variance of pixels that a linear regression from codes explains.

Where it is small, many images have the same code. Image and feature losses then ask for their mean, which is a blur.
"""

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from dgn.devices import double

SIDE = 32
"""Images are reduced to at most this side: else the share would fall with the size of the images, whose finest detail
no code says linearly."""
FEWEST = 200
"""With fewer images nothing is said: half of them would not do for a regression."""
_NUMBERS = 2**26
"""The most numbers of codes that are kept: 256 MB in float32, such as 1,024 codes of 65,536 units."""
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Ridge penalties that are tried, in units of the mean squared norm of the codes around their mean."""


class PixelRegression:
    """Regresses pixels on codes that come in batches: ridge regression, fitted to one half and scored on the other.

    The penalty is chosen on the first half by leaving out one image at a time (scikit-learn's RidgeCV).

    Args:
        images: The most images that are kept.
    """

    def __init__(self, images: int = 2000) -> None:
        self.most, self.kept = images, 0
        self._codes: list[Tensor] = []
        self._pixels: list[Tensor] = []

    def add(self, images: Tensor, codes: Tensor) -> None:
        """Adds images (N, C, H, W) and their codes (N, *code_shape), as long as there is room."""
        room = min(self.most, max(FEWEST, _NUMBERS // codes[0].numel())) - self.kept
        if room <= 0:
            return
        images, codes = images[:room].detach(), codes[:room].detach()
        size = (min(SIDE, images.shape[-2]), min(SIDE, images.shape[-1]))
        self._pixels.append(adaptive_avg_pool2d(images.float(), size).flatten(1).cpu())
        self._codes.append(codes.float().flatten(1).cpu())
        self.kept += len(images)

    def explained(self) -> float | None:
        """Returns R^2 on the half that was not fitted, at least 0; None with fewer than FEWEST images."""
        if self.kept < FEWEST:
            return None
        self._codes, self._pixels = [torch.cat(self._codes)], [torch.cat(self._pixels)]  # frees the batches
        codes, pixels = self._codes[0], self._pixels[0].double()
        half = self.kept // 2
        # Not divided by the deviation of each unit: one that is almost never active would have enormous values.
        coordinates = _coordinates(codes - codes[:half].mean(0))
        scale = float(coordinates[:half].square().sum(1).mean())
        ridge = RidgeCV(alphas=[penalty * scale for penalty in _PENALTIES])
        ridge.fit(coordinates[:half].numpy(), pixels[:half].numpy())
        held_out = pixels[half:].numpy()
        error = np.square(ridge.predict(coordinates[half:].numpy()) - held_out).sum()
        variance = np.square(held_out - pixels[:half].numpy().mean(0)).sum()
        return max(0.0, float(1 - error / max(variance, 1e-12)))


def _coordinates(codes: Tensor) -> Tensor:
    """Returns coordinates (N, at most N) with the inner products of codes (N, D), in float64.

    A ridge regression depends on inner products alone, so that codes of many units need not be solved for every unit.
    """
    if codes.shape[1] <= len(codes):
        return double(codes)
    values, vectors = torch.linalg.eigh(double(codes @ codes.T))
    return vectors * values.clamp_min(0).sqrt()
