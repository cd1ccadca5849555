"""A step's losses as Python numbers, without making the GPU wait for the host."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Readback:
    """`start` copies scalars towards the host as soon as the forward passes have been queued; `finish`, called
    after the backward passes have been queued too, waits only for that copy. On a CPU both are immediate."""

    def start(self, scalars: Mapping[str, Tensor]) -> None:
        """scalars: {name: 0-d tensor}."""
        self._names = list(scalars)
        stacked = torch.stack([value.detach().float() for value in scalars.values()])
        self._arrived = None
        if stacked.is_cuda:
            self._host = torch.empty(stacked.shape, pin_memory=True)
            self._host.copy_(stacked, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._host = stacked

    def finish(self) -> dict[str, float]:
        """{name: value} of what `start` was given."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self._names, self._host.tolist(), strict=True))
