"""The value of an objective as a function of images, and the units that are worth explaining in one image."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.surrogates import probability
from dgn.am.objectives.terms import Term, Unit
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


class Response(nn.Module):
    """The value of one objective on images, in the form that Captum takes: (N, 3, H, W) in image space -> (N,).

    Args:
        net: The network.
        objective: The objective, usually a single unit.
    """

    def __init__(self, net: FeatureNet, objective: Objective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    def forward(self, images: Tensor) -> Tensor:
        return self.objective.values(self.net(images, self.objective.layers))


def differentiable(images: Tensor) -> Tensor:
    """Returns a copy of images that gradients reach."""
    return images.detach().clone().requires_grad_(True)


def read_as_probability(objective: Objective, net: FeatureNet) -> Objective:
    """Reads class units as their probability; other terms are unchanged."""
    pairs = zip(objective.terms, probability(objective, net).terms, strict=True)
    return Objective(tuple(new if getattr(new[1], "reading", "") else old for old, new in pairs))


@torch.no_grad()
@full_precision
def most_probable(net: FeatureNet, images: Tensor, count: int) -> list[list[Objective]]:
    """Returns the classes to which each image gets most probability, the most probable first.

    Args:
        net: The network. It must have a class layer.
        images: (N, 3, H, W) in image space.
        count: The number of classes of each image.
    """
    layer = net.class_layer()
    logits, labels = net(images, [layer])[layer], net.layer_labels(layer)
    order = logits.topk(min(count, logits.shape[1]), dim=1).indices.tolist()
    return [[_class_unit(layer, index, labels) for index in row] for row in order]


@torch.no_grad()
@full_precision
def at_peak(objective: Objective, net: FeatureNet, image: Tensor) -> Objective:
    """Reads units of maps where their channel is strongest in an image, instead of at the position that is written.

    Means over a map, and units of vectors, are unchanged.

    Args:
        objective: The objective.
        net: The network.
        image: (3, H, W) in image space.
    """
    activations = net(image[None], objective.layers)
    return Objective(tuple((weight, _moved(term, activations)) for weight, term in objective.terms))


def _moved(term: Term, activations: dict[str, Tensor]) -> Term:
    if not isinstance(term, Unit) or not isinstance(term.position, tuple):
        return term
    values = activations[term.layer][0]
    channel = values[:, term.index] if values.ndim == 2 else values[term.index]
    place = torch.unravel_index(channel.argmax(), channel.shape)
    return replace(term, position=tuple(int(axis) for axis in place))


def _class_unit(layer: str, index: int, labels: tuple[str, ...]) -> Objective:
    return Objective(((1.0, Unit(layer, index, None, labels[index] if labels else "")),))
