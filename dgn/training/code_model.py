"""Fits the code model: a diffusion model of the codes of real images (`dgn.prior.code_model`).

The objective is denoising at every noise level (Karras et al. 2022), in the squared error of the code.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgn.prior.code_model import CodeModel
from dgn.runs.progress import announced
from dgn.training.code_model_quality import quality

log = logging.getLogger(__name__)

LEAST = 200
"""The smallest number of codes that a model is fitted to."""


@dataclass(frozen=True)
class CodeModelFit:
    """How a code model is fitted.

    Attributes:
        codes: The number of codes that are kept for it, the last that training has seen.
        axes: Number of principal axes that are modelled.
        width: Width of the network.
        blocks: Number of its residual blocks.
        steps: Number of steps of Adam.
        batch_size: Codes in a step.
        lr: Largest learning rate; it rises over the first tenth of the steps and falls to 0 (one cycle).
        ema_decay: Decay of the average of the weights that the model holds.
    """

    codes: int = 16000
    axes: int = 64
    width: int = 256
    blocks: int = 3
    steps: int = 6000
    batch_size: int = 128
    lr: float = 2e-3
    ema_decay: float = 0.995

    def fit(
        self,
        coordinates: Tensor,
        held_out: Tensor,
        seed: int = 0,
        device: torch.device | str = "cpu",
        before_step: Callable[[], None] | None = None,
    ) -> tuple[CodeModel | None, dict[str, float]]:
        """Fits a model to coordinates along principal axes.

        Args:
            coordinates: (N, k), of real codes (`dgn.prior.code_model.to_coordinates`); the first `axes` are modelled.
            held_out: (M, k), of other real codes, on which the quality is measured.
            seed: Of weights, noise and order.
            device: Where it computes; the model is returned on the CPU.
            before_step: Called before each step.

        Returns:
            The model, or None for fewer than 200 codes; and its quality (`dgn.training.code_model_quality.quality`) and
            the seconds that it took, named as in metrics.json.
        """
        began = time.perf_counter()
        if len(coordinates) < LEAST:
            log.info("No code model: %d codes were seen, and %d are the least", len(coordinates), LEAST)
            return None, {}
        data, others = coordinates[:, : self.axes].to(device), held_out[:, : self.axes]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = CodeModel(data.shape[1], self.width, self.blocks)
        model.std.copy_(data.std(0, correction=0).clamp_min(1e-12))
        model.to(device)
        average = self._train(model, data, seed, before_step)
        average.cpu().requires_grad_(False).eval()
        figures = quality(average, data.cpu(), others.cpu(), seed)
        figures["seconds"] = round(time.perf_counter() - began, 1)
        return average, {f"code_model/{name}": value for name, value in figures.items()}

    def _train(self, model: CodeModel, data: Tensor, seed: int, before_step: Callable[[], None] | None) -> CodeModel:
        """Trains the model; returns the average of its weights over the steps."""
        average, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)
        rise = min(0.75, max(0.1, 2 / self.steps))  # of few steps a tenth would be a rise of no length
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps, pct_start=rise)
        steps = announced(
            range(self.steps),
            self.steps,
            "Fitting the code model, for method=guided and samples",
            "fewer with code_model.steps=N; code_model=none leaves it out",
        )
        for step in steps:
            if before_step is not None:
                before_step()
            rows = torch.randint(len(data), (self.batch_size,), generator=generator).to(data.device)
            optimizer.zero_grad(set_to_none=True)
            denoising_loss(model, data[rows], generator).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            decay = min(self.ema_decay, (step + 1) / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        return average


def denoising_loss(model: CodeModel, coordinates: Tensor, generator: torch.Generator) -> Tensor:
    """Returns |D(z + sigma e; sigma) - z|^2, relative to what a normal distribution would leave, averaged; 0-d.

    That error is about 1 before training at every noise level, so that all levels have the same weight. log sigma is
    uniform over the model's noise range.

    Args:
        model: D.
        coordinates: (N, k), z.
        generator: Gives sigma and e; on the CPU.
    """
    low, high = (math.log(end) for end in model.noise_range)
    noise = torch.exp(low + (high - low) * torch.rand(len(coordinates), generator=generator)).to(coordinates)
    noisy = coordinates + noise[:, None] * torch.randn(coordinates.shape, generator=generator).to(coordinates)
    expected = model.posterior_variance(noise).sum(1)
    return ((model(noisy, noise) - coordinates).square().sum(1) / expected).mean()
