"""Gradients of one network among several, and which of its parameters are decayed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def add_gradients(loss: Tensor, network: nn.Module, keep_graph: bool = False) -> None:
    """Adds the gradients of the loss to those of the parameters of this network only.

    The loss of G passes through D and C, and adds no gradients to their parameters.
    """
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=keep_graph)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(gradient)
            continue
        # In the memory layout of the parameter: the fused Adam ignores strides.
        same = gradient.stride() == parameter.stride()
        parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)


def decay_groups(network: nn.Module | None, spared: Sequence[nn.Module] = ()) -> list[dict[str, Any]]:
    """Returns parameter groups with and without weight decay: biases and the spared layers have none."""
    if network is None:
        return []
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            has_decay = name == "weight" and not any(module is layer for layer in spared)
            (decayed if has_decay else others).append(parameter)
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
