"""The Frechet distance between two sets of images, in the features of a network."""

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from dgn.networks.featurenet import FeatureNet


def frechet(features: Tensor, real: Tensor) -> float:
    """Squared Frechet distance between the normal distributions of two sets of features (N, d) and (M, d), N, M >= 2
    (Heusel et al. 2017). With few images it is too large: compare figures of equally many only."""
    metric = FrechetInceptionDistance(_Given(features.shape[1]), normalize=True).set_dtype(torch.float64)
    metric.update(features.double(), real=False)
    metric.update(real.double(), real=True)
    return float(metric.compute())


@torch.no_grad()
def features_of(net: FeatureNet, images: Tensor) -> Tensor:
    """images (N, 3, H, W) in image space -> features (N, d): the network's trunk, averaged over its positions."""
    device = next(net.parameters()).device
    found = [net(some.to(device), [net.trunk()])[net.trunk()].float().cpu() for some in images.split(64)]
    return torch.cat([part.mean((2, 3)) if part.ndim == 4 else part.flatten(1) for part in found])


class _Given(nn.Module):
    """Torchmetrics asks a module for features; here they are there already."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, features: Tensor) -> Tensor:
        return features
