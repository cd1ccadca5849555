"""Images of a run whose channels no picture holds: an array beside the picture (`dgn.data.display`) that shows them."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgn.data.images import read_image
from dgn.errors import UserError
from dgn.files import write_whole


def write_exact(image: Tensor, picture: Path) -> None:
    """Writes an image, float (C, H, W) in [0, 1], beside its picture as .npy, unless the picture holds all of it."""
    if image.shape[0] in (1, 3):
        return
    file = io.BytesIO()
    np.save(file, image.detach().float().clamp(0, 1).cpu().numpy(), allow_pickle=False)
    write_whole(picture.with_suffix(".npy"), file.getvalue())


def read_exact(picture: Path, channels: int | None = None) -> Tensor:
    """Reads an image of a run: float (C, H, W), of the array beside its picture if there is one.

    Args:
        picture: The picture.
        channels: The number of channels, for other files; None: RGB.
    """
    exact = picture.with_suffix(".npy")
    if picture.suffix == ".png" and exact.is_file():
        try:
            return torch.from_numpy(np.load(exact, allow_pickle=False)).float()
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {exact}: {error}; remove it, and its picture is read") from None
    return read_image(picture, channels=channels).float().div(255)
