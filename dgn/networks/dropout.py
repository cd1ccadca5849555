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
        distributed = dist.is_available() and dist.is_initialized()
        processes, rank = (dist.get_world_size(), dist.get_rank()) if distributed else (1, 0)
        index, parts = SharedDropout.part
        if processes * parts == 1 or not self.training:
            return super().forward(input)
        size = len(input)
        whole = input.new_ones((size * processes * parts, *input.shape[1:]))
        mask = F.dropout(whole, self.p)[rank::processes]
        return input * mask[index * size : (index + 1) * size]
