"""Gradients of one network among several, and which of its parameters are decayed."""

import math
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


def parameter_groups(
    network: nn.Module | None, spared: Sequence[nn.Module] = (), fan_in_limit: int | None = None
) -> list[dict[str, Any]]:
    """Returns an optimizer's parameter groups.

    Biases and the spared layers have no weight decay. A layer with more inputs than the limit has a `rate` below 1, by
    which its learning rate is to be multiplied: limit / inputs. Adam moves every weight by about the learning rate, so
    that a layer's output moves by the rate times the number of inputs, where these rise and fall together (Yang et al.
    2021, "Tensor Programs V").

    Args:
        network: The network; None: no groups.
        spared: Layers without weight decay.
        fan_in_limit: The number of inputs; None: one learning rate for all layers.
    """
    if network is None:
        return []
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            decayed = name == "weight" and not any(module is layer for layer in spared)
            rate = 1.0 if fan_in_limit is None else min(1.0, fan_in_limit / _fan_in(module, parameter))
            groups.setdefault((decayed, rate), []).append(parameter)
    return [
        {"params": parameters} | ({} if decayed else {"weight_decay": 0.0}) | ({} if rate == 1.0 else {"rate": rate})
        for (decayed, rate), parameters in groups.items()
    ]


def scale_rates(optimizer: torch.optim.Optimizer) -> None:
    """Multiplies the learning rate of each group by its `rate` (`parameter_groups`)."""
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("rate", 1.0)


def _fan_in(module: nn.Module, parameter: nn.Parameter) -> float:
    """The number of inputs that are summed for one output; 1 for vectors."""
    if isinstance(module, nn.ConvTranspose2d) and parameter.dim() == 4:
        return len(parameter) * parameter[0, 0].numel() / math.prod(module.stride)
    return parameter[0].numel() if parameter.dim() > 1 else 1
