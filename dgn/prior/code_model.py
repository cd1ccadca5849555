"""The code model: a diffusion model of the codes of real images, from which codes are drawn.

It is a denoiser at every noise level (Karras et al. 2022, EDM) of a code's coordinates along its principal axes. Noise
of standard deviation sigma is added to the coordinates z, and D(x; sigma) estimates z from x = z + sigma * e. Drawing
goes from noise to codes by the reverse steps of DDIM (Song et al. 2021).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dgn.networks.precision import full_precision
from dgn.prior.clamping import clamp
from dgn.prior.code_network import CodeNetwork
from dgn.prior.principal import PrincipalAxes

STEPS = 60
"""The number of reverse steps from noise to a code."""
_HIGHEST, _LOWEST = 3.0, 0.1  # noise levels: of the strongest axis' standard deviation, and of their mean square
_RHO = 7  # spacing of the noise levels (Karras et al. 2022, eq. 5)


class CodeModel(nn.Module):
    """A denoiser of codes at every noise level.

    Coordinates are not whitened here: z_i has the standard deviation std_i of axis i, so that noise hides weak axes
    first and leaves what kind of image it is until last. D is the exact denoiser of a normal distribution with these
    standard deviations, plus what the network has learned beyond it:

        D(x; sigma) = v / (v + sigma^2) x + sigma std / sqrt(v + sigma^2) F(x / sqrt(v + sigma^2); log sigma)

    with v = std^2.

    Args:
        count: Number of axes, k.
        width: Width of the network.
        blocks: Number of its residual blocks.
    """

    std: Tensor

    def __init__(self, count: int, width: int = 512, blocks: int = 3) -> None:
        super().__init__()
        self.count, self.width, self.blocks = int(count), int(width), int(blocks)
        self.register_buffer("std", torch.ones(self.count))
        self.network = CodeNetwork(self.count, self.width, self.blocks)

    def spec(self) -> dict[str, Any]:
        """Returns plain values from which the constructor builds the same network."""
        return dict(count=self.count, width=self.width, blocks=self.blocks)

    @full_precision
    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """Returns D: the estimate (N, k) of the coordinates without noise. Differentiable.

        Args:
            noisy: (N, k), coordinates with noise.
            noise: (N,), standard deviation of each row's noise, sigma.
        """
        sigma = noise[:, None]
        variance = self.std.square()
        total = (variance + sigma.square()).sqrt()
        learned = self.network(noisy / total, (noise / self.std.square().mean().sqrt()).log())
        return variance / total.square() * noisy + sigma * self.std / total * learned

    def posterior_variance(self, noise: Tensor) -> Tensor:
        """Returns the variance (N, k) of coordinates, given those with noise (N,), for a normal distribution."""
        variance, squared = self.std.square(), noise[:, None].square()
        return variance * squared / (variance + squared)

    def levels(self, steps: int, highest: float = 1.0) -> Tensor:
        """Returns the noise levels of `steps` reverse steps, falling, followed by 0: (steps + 1,), on the CPU.

        highest: the first level, as a fraction of the highest of the model.
        """
        low, high = self.noise_range
        ends = high * highest, min(low, high * highest)
        roots = torch.linspace(ends[0] ** (1 / _RHO), ends[1] ** (1 / _RHO), steps)
        return torch.cat([roots**_RHO, torch.zeros(1)])

    @property
    def noise_range(self) -> tuple[float, float]:
        """(lowest, highest) noise level that the network is trained on."""
        return _LOWEST * float(self.std.square().mean().sqrt()), _HIGHEST * float(self.std.max())

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Draws coordinates with the highest noise (N, k), one row from each generator (on the CPU)."""
        rows = torch.stack([torch.randn(self.count, generator=generator) for generator in generators])
        # of a normal distribution plus noise: 3 standard deviations hide an axis, but not entirely
        return rows.to(self.std) * (self.std.square() + self.noise_range[1] ** 2).sqrt()

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, steps: int = STEPS) -> Tensor:
        """Draws coordinates (count, k), by second-order reverse steps (Karras et al. 2022, algorithm 1)."""
        levels = self.levels(steps)
        noisy = self.noise([generator] * count)
        for here, there in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            clean = self(noisy, noisy.new_full((count,), here))
            ahead = reverse_step(noisy, clean, here, there)
            if there > 0:
                later = self(ahead, noisy.new_full((count,), there))
                slope = (noisy - clean) / here + (ahead - later) / there
                ahead = noisy + (there - here) / 2 * slope
            noisy = ahead
        return noisy


def reverse_step(noisy: Tensor, clean: Tensor, here: float, there: float, fresh: Tensor | None = None) -> Tensor:
    """Returns coordinates at the next lower noise level, given the estimate without noise (Song et al. 2021, eq. 12).

    Args:
        noisy: (N, k), at noise level `here`.
        clean: (N, k), the estimate of the coordinates without noise.
        here: The noise level.
        there: The next, at most `here`.
        fresh: (N, k), normal noise, of which as much is added as in ancestral sampling (eta = 1); None: the step is
            deterministic (eta = 0).
    """
    kept = there / here
    if fresh is None:
        return clean + kept * (noisy - clean)
    added = kept * math.sqrt(max(here**2 - there**2, 0.0))
    return clean + kept**2 * (noisy - clean) + added * fresh


def to_codes(coordinates: Tensor, axes: PrincipalAxes, rectified: bool) -> Tensor:
    """Maps coordinates (N, k) of the code model to codes (N, *code_shape); differentiable.

    rectified: whether codes are rectified; they are then clamped at 0.
    """
    codes = axes.lift(coordinates / axes.std)
    return clamp(codes, 0, None) if rectified else codes


def to_coordinates(codes: Tensor, axes: PrincipalAxes) -> Tensor:
    """Maps codes (N, *code_shape) to the coordinates (N, k) of the code model."""
    return axes.project(codes) * axes.std


def read_code_model(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> CodeModel | None:
    """Builds the code model of a prior file; None if the file has none.

    Allocates nothing before the tensors are seen to fit. Raises KeyError, TypeError, ValueError or RuntimeError if they
    do not.
    """
    if header.get("code_model") is None:
        return None
    own = {name.removeprefix("code_model."): t for name, t in tensors.items() if name.startswith("code_model.")}
    blocks = header["code_model"].get("blocks", 0)
    if not isinstance(blocks, int) or blocks > len(own):  # building them takes time, before they are compared
        raise ValueError(f"a code model of {blocks} blocks in {len(own)} tensors")
    with torch.device("meta"):
        model = CodeModel(**header["code_model"])
    model.load_state_dict(own, assign=True)
    axes = tensors.get("statistics.axes_std")
    if axes is None or len(axes) < model.count:
        raise ValueError(f"a code model of {model.count} axes, and {0 if axes is None else len(axes)} axes")
    return model.requires_grad_(False).eval()
