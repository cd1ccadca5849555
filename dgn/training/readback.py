"""Reads the losses of a step as Python numbers, without stalling the GPU."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Readback:
    """`start` copies scalars towards the host as soon as the forward passes have been queued; `finish`, called
    after the backward passes have been queued too, waits only for that copy. On a CPU both are immediate."""

    def __init__(self) -> None:
        self._copies: list[tuple[Tensor, torch.cuda.Event | None]] = []

    def start(self, scalars: Mapping[str, Tensor]) -> None:
        """scalars: {name: 0-d tensor}. Once for each part of a step, with the same names."""
        self._names = list(scalars)
        stacked = torch.stack([value.detach().float() for value in scalars.values()])
        if not stacked.is_cuda:
            self._copies.append((stacked, None))
            return
        host = torch.empty(stacked.shape, pin_memory=True)
        host.copy_(stacked, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._copies.append((host, arrived))

    def finish(self) -> dict[str, float]:
        """Waits for the copies; returns {name: mean over the parts of the step} of the scalars given to `start`."""
        for _, arrived in self._copies:
            if arrived is not None:
                arrived.synchronize()
        means = torch.stack([host for host, _ in self._copies]).mean(0).tolist()
        self._copies.clear()
        return dict(zip(self._names, means, strict=True))
