"""The filters of the first layer as pictures: convolutions, and the patch embeddings of vision transformers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet


@dataclass(frozen=True)
class Filters:
    """The filters of the layer that reads the image.

    Attributes:
        layer: The module's name.
        images: (filters, C, h, w), of the network's channels, RGB if it sees that; grey is 0, and each filter has its
            own contrast.
        norms: (filters,), their norms.
    """

    layer: str
    images: Tensor
    norms: Tensor


def first_filters(net: FeatureNet) -> Filters:
    """Returns the filters of the first module that an image enters.

    Raises:
        UserError: If it is not a convolution, as in networks that cut images into patches by themselves.
    """
    for name, layer in net.layers().items():
        if not layer.plain:
            continue
        module = net.network.get_submodule(layer.module)
        if isinstance(module, nn.Conv2d) and module.in_channels == net.input_space.channels:
            return _filters(name, module.weight.detach().float().cpu(), net)
        if isinstance(module, nn.Conv2d | nn.Linear):
            break
    raise UserError(f"{net.name} has no first layer with filters of its channels; nothing can be shown as pictures")


def _filters(name: str, weight: Tensor, net: FeatureNet) -> Filters:
    std = torch.tensor(net.input_space.std).view(-1, 1, 1)
    weight = weight * net.input_space.value_range / std  # what the filter does to image space
    if net.input_space.channel_order == "BGR":
        weight = weight.flip(1)
    largest = weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return Filters(name, 0.5 + 0.5 * weight / largest, weight.flatten(1).norm(dim=1))
