"""Attributions that change the backward pass of every ReLU: guided backpropagation and deconvnet."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.surrogates import below_rectifier
from dgn.attribution.base import Channels, ColourAttribution
from dgn.attribution.response import Response, differentiable
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class GuidedBackprop(ColourAttribution):
    """The gradient with every ReLU passing back only positive gradients of active units (Springenberg et al. 2014).

    Attributes:
        channels: How colour channels become one map: absolute, max or sum (signed).
        colour: Whether the three channels are shown as a picture, as published.
    """

    channels: Channels = "absolute"
    colour: bool = True

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        return _attributed("GuidedBackprop", "guided_backprop", net, objective, images)


@dataclass(frozen=True)
class Deconvnet(ColourAttribution):
    """The gradient with every ReLU passing back the positive gradients of all units (Zeiler & Fergus 2013).

    Attributes:
        channels: How colour channels become one map: absolute, max or sum (signed).
        colour: Whether the three channels are shown as a picture, as published.
    """

    channels: Channels = "absolute"
    colour: bool = True

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        return _attributed("Deconvolution", "deconvnet", net, objective, images)


def _attributed(method: str, name: str, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
    """Returns what one of Captum's classes attributes."""
    import captum.attr  # here: it takes a second, and most commands need none of it

    if len(objective.layers) == 1:
        # Of several layers, the deeper ones run through the ReLUs of the others, and Captum replaces the whole gradient
        # at a ReLU's input, with what begins there.
        objective = below_rectifier(objective, net)
    response = Response(net, objective)
    _check_rectifiers(response, images[:1], name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")  # it is what the method does
        attributed: Tensor = getattr(captum.attr, method)(response).attribute(differentiable(images))
    return attributed.detach()


def _check_rectifiers(response: Response, images: Tensor, name: str) -> None:
    """Raises UserError if the network's nonlinearities are not ReLU modules, the only ones that the method changes."""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hooks = [module.register_forward_hook(count) for module in response.modules() if isinstance(module, nn.ReLU)]
    try:
        with torch.enable_grad():
            value = response(differentiable(images))
    finally:
        for hook in hooks:
            hook.remove()
    nodes = _operations(value.grad_fn)
    others = ", ".join(sorted({_SMOOTH[kind] for kind in nodes if kind in _SMOOTH}))
    network, instead = response.net.name, "take saliency, integrated_gradients or occlusion"
    if others:
        raise UserError(f"{name} is defined for ReLUs, and {network} has {others}; {instead}")
    if nodes.count("ReluBackward0") > calls:
        raise UserError(
            f"{name} changes ReLUs that are modules (nn.ReLU), and {network} also calls relu as a function; {instead}"
        )


_SMOOTH: dict[str, str] = {
    "GeluBackward0": "GELU",
    "SiluBackward0": "SiLU",
    "HardswishBackward0": "Hardswish",
    "HardtanhBackward0": "ReLU6 or Hardtanh",
    "LeakyReluBackward0": "LeakyReLU",
    "EluBackward0": "ELU",
    "MishBackward0": "Mish",
    "TanhBackward0": "Tanh",
    "SigmoidBackward0": "Sigmoid",
}
"""Nodes of autograd's graph by the nonlinearity that makes them."""


def _operations(node: Any) -> list[str]:
    """Returns the names of all operations of a graph."""
    seen, ahead, names = set(), [node], []
    while ahead:
        current = ahead.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        names.append(current.name())
        ahead += [inner for inner, _ in current.next_functions]
    return names
