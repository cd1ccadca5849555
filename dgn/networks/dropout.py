"""Dropout that does not depend on how a batch is divided: among processes, or in parts one after the other."""

from typing import ClassVar

import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch of a step, of which each forward pass keeps the rows of its own
    images: row i of the batch is image i // processes of process i % processes, and a process's images come in equal
    parts. All must draw from equally seeded generators. In one process and one part it is torch's, to the bit."""

    part: ClassVar[tuple[int, int]] = (0, 1)
    """(index, number) of the part of the batch that forward passes see now; set by `dgn.training.accumulation`."""

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
