"""Features: a network's activations as one vector per image, the space in which sets of images are compared."""

import torch
from torch import Tensor

from dgn.data.batches import Images, batches
from dgn.devices import moved
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


def penultimate(net: FeatureNet) -> str:
    """Returns the layer whose activations the classifier reads (`FeatureNet.code_layer`).

    Raises:
        UserError: If the network has no class layer.
    """
    net.class_layer()
    return net.code_layer()


@torch.no_grad()
@full_precision
def extract_features(net: FeatureNet, images: Images, layer: str | None = None) -> Tensor:
    """Returns features (N, d), float32 on the CPU. Maps are averaged over positions, tokens over tokens.

    Args:
        net: the network.
        images: (N, 3, H, W) in image space, or batches of them.
        layer: the layer to read; None: the penultimate layer.
    """
    layer = layer or penultimate(net)
    device = net.device
    return torch.cat([pooled(net(moved(batch, device), [layer])[layer]).cpu() for batch in batches(images)])


def pooled(activations: Tensor) -> Tensor:
    """Averages activations (N, d), (N, C, H, W) or (N, T, d) to (N, d), (N, C) or (N, d), float32."""
    activations = activations.float()
    if activations.ndim == 4:
        return activations.mean((2, 3))
    return activations.mean(1) if activations.ndim == 3 else activations.flatten(1)
