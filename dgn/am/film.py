"""Films of searches: what the images were on the way."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.step import Parametrization

Film = Callable[[Objective, int, Tensor], None]
"""Called with a search's objective, its seed (shifted) and its images over the steps, uint8 (T, 3, H, W): at most
FRAMES evenly spaced frames, followed by the preferred image."""


FRAMES = 60


class Frames:
    """Frames of a batch's images over the steps, as bytes."""

    def __init__(self, steps: int, wanted: bool) -> None:
        self._at = {i * steps // FRAMES for i in range(FRAMES)} if wanted else set()
        self._kept: list[Tensor] = []

    @torch.no_grad()
    def add(self, step: int, parametrization: Parametrization, parameters: Tensor) -> None:
        if step in self._at:
            self._kept.append(_bytes(parametrization.images(parameters)))

    def stack(self, search: int, last: Tensor) -> Tensor:
        """Returns the frames of a search, (T, 3, H, W), resized to the last one's size, as stages may differ in it."""
        frames = [frame[search] for frame in (*self._kept, _bytes(last))]
        height, width = frames[-1].shape[-2:]
        size = (height, width)
        return torch.stack([f if tuple(f.shape[-2:]) == size else _resized(f, size) for f in frames])


def _bytes(images: Tensor) -> Tensor:
    return images.detach().float().mul(255).round().clamp(0, 255).byte().cpu()


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(frame[None].float(), size, mode="bilinear", antialias=True).round().clamp(0, 255)[0].byte()
