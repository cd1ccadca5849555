"""Reads the losses of a step as Python numbers without stalling the GPU."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Readback:
    """Copies scalars from the GPU to the host asynchronously.

    `start` begins the copy as soon as the forward passes are queued. `finish`, called after the backward passes are
    queued, waits only for that copy. On a CPU both return immediately; on mps `finish` waits for the device.
    """

    def __init__(self) -> None:
        self._copies: list[tuple[Tensor, torch.cuda.Event | None]] = []

    def start(self, scalars: Mapping[str, Tensor]) -> None:
        """Starts the copy of {name: 0-d tensor}. Called once for each part of a step, with the same names."""
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
        """Waits for the copies, and returns {name: mean over the parts of the step}."""
        for _, arrived in self._copies:
            if arrived is not None:
                arrived.synchronize()
        means = torch.stack([host for host, _ in self._copies]).mean(0).tolist()
        self._copies.clear()
        return dict(zip(self._names, means, strict=True))
