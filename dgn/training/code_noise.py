"""Noise on the codes that G is trained on (RAE, Zheng et al. 2025, stage 1).

A search leaves the set of real codes. With noise, G learns to paint well around it too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.dropout import own_rows, whole_batch
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class CodeNoise:
    """Gaussian noise, in each unit's standard deviations over real images; its strength is drawn for every code.

    Args:
        most: The strength is uniform in [0, most]. 0: no noise (the paper).

    Raises:
        UserError: If `most` is negative or not finite.
    """

    most: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.most < float("inf"):
            raise UserError(f"code_noise={self.most} must be a number >= 0 (0: no noise)")

    @full_precision
    def __call__(self, codes: Tensor, std: Tensor, rectified: bool) -> Tensor:
        """Returns codes (N, *code_shape) with noise.

        Args:
            codes: The codes.
            std: (*code_shape), the standard deviation of each unit.
            rectified: Whether codes are never negative; then the noisy ones are not either.
        """
        if self.most == 0:
            return codes
        count = whole_batch(len(codes))  # as in `SharedDropout`: the same numbers with several processes as with one
        strength = own_rows(torch.rand(count, *[1] * (codes.dim() - 1), device=codes.device), len(codes))
        normal = own_rows(torch.randn(count, *codes.shape[1:], device=codes.device), len(codes))
        noisy = codes + self.most * strength * std * normal
        return noisy.clamp_min(0) if rectified else noisy
