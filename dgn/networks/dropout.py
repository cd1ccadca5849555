"""Dropout that does not depend on how a batch is split over processes or over accumulation steps."""

from typing import ClassVar

import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SharedDropout(nn.Dropout):
    """Dropout that draws its mask for the whole batch of a step; each forward pass uses the rows of its own images.

    Row i of the batch is image i // processes of process i % processes, and the images of a process are split into
    equal parts. All processes must draw from equally seeded generators. With one process and one part, the result is
    bit-identical to torch.nn.Dropout.
    """

    part: ClassVar[tuple[int, int]] = (0, 1)
    """(index, count): the current part of the batch; set by `dgn.training.accumulation`."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or whole_batch(len(input)) == len(input):
            return super().forward(input)
        whole = input.new_ones((whole_batch(len(input)), *input.shape[1:]))
        return input * own_rows(F.dropout(whole, self.p), len(input))


def whole_batch(size: int) -> int:
    """Returns the number of images of a step, over all processes and parts, of which a forward pass has `size`."""
    return size * _processes()[1] * SharedDropout.part[1]


def own_rows(drawn: Tensor, size: int) -> Tensor:
    """Returns the rows (size, ...) of this process and part among random numbers (whole_batch(size), ...)."""
    rank, processes = _processes()
    index = SharedDropout.part[0]
    return drawn[rank::processes][index * size : (index + 1) * size]


def _processes() -> tuple[int, int]:
    distributed = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
