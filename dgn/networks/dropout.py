"""Dropout that does not depend on how many processes train together."""

import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch of all processes, of which each keeps the rows of its own
    images (row i of the batch is image i // processes of process i % processes). All must draw from equally seeded
    generators. In one process it is torch's, to the bit."""

    def forward(self, input: Tensor) -> Tensor:
        number = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if number == 1 or not self.training:
            return super().forward(input)
        whole = input.new_ones((len(input) * number, *input.shape[1:]))
        return input * F.dropout(whole, self.p)[dist.get_rank() :: number]
