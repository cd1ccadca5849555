"""Images that a prior draws without any objective: what its code model has learned."""

from pathlib import Path

import torch

from dgn.data.images import image_grid, save_png
from dgn.errors import UserError
from dgn.prior import Prior
from dgn.prior.missing_code_model import no_code_model

SHEET = "samples.png"


def check_draws(prior: Prior) -> None:
    """Raises UserError if a prior has neither a code model nor noise to draw from."""
    if prior.code_model is None and prior.noise is None:
        raise UserError(f"there is nothing to draw from: {no_code_model(prior)}")


@torch.no_grad()
def write_samples(prior: Prior, count: int, seed: int, folder: Path) -> Path:
    """Writes a sheet of `count` decoded draws from the prior's code model, or its noise; returns its path.

    Raises UserError if the prior has neither.
    """
    check_draws(prior)
    images = torch.cat([prior.decode(codes).cpu() for codes in prior.sample(count, seed).split(64)])
    save_png(image_grid(images, 16), folder / SHEET)
    return folder / SHEET
