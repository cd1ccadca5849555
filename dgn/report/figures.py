"""Pictures and grids of them, without words."""

from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor


def reconstruction_grid(real: Tensor, reconstructed: Tensor, columns: int = 8) -> Tensor:
    """Real images over their reconstructions: each row of `columns` real ones stands on the row of theirs.

    real, reconstructed: float (N, 3, H, W) in image space, N >= 1; values outside [0, 1] are clamped. Returns
    float (3, H', W'), white between: a thin line between a picture and its reconstruction and between
    neighbours, three times as much between one pair of rows and the next. Places left over are white.
    """
    count, channels, height, width = real.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    line = max(1, height // 32)
    # One cell is a real image, its reconstruction below, and the white right of and below them.
    cells = real.new_ones(rows * columns, channels, 2 * height + 4 * line, width + line)
    cells[:count, :, :height, :width] = real.clamp(0, 1)
    cells[:count, :, height + line : 2 * height + line, :width] = reconstructed.to(real).clamp(0, 1)
    sheet = cells.view(rows, columns, *cells.shape[1:]).permute(2, 0, 3, 1, 4)
    sheet = sheet.reshape(channels, rows * cells.shape[2], columns * cells.shape[3])
    return torch.nn.functional.pad(sheet[:, : -2 * line], (line, 0, line, 0), value=1.0)


def pictures(images: Tensor) -> Iterator[Image.Image]:
    """float (N, 3, H, W) in image space, on any device -> N pictures of 8 bits; values outside [0, 1] are clamped."""
    for some in images.split(64):  # at once, since one at a time costs more than it takes to write the files
        levels = some.detach().float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().cpu()
        yield from map(Image.fromarray, levels.numpy())
