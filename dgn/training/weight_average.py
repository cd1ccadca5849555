"""The average of G's weights over the training steps, which the prior holds."""

import copy

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """An exponential moving average of a network's weights that follows faster at first.

        w <- d w + (1 - d) w_now,   d = min(decay, (1 + t) / (10 + t)) at update t; the first update copies.

    The number of updates is a Python int, saved in the state dict. torch's AveragedModel keeps it on the device, where
    every read makes the host wait for the GPU.

    Attributes:
        module: The averaged network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Updates the average with the weights of the network; its buffers are copied, not averaged."""
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), rate)
        for buffer, current in zip(self.module.buffers(), network.buffers(), strict=True):
            buffer.copy_(current)  # the running statistics of a custom generator's batch normalization
        self.updates += 1

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.updates)

    def set_extra_state(self, state: Tensor) -> None:
        self.updates = int(state)
