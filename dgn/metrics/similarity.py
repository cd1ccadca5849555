"""Similarity of images, as a stand-in for a person who compares pictures.

A similarity is never computed by the target or a relative of it (`check_independent`): a network's own features would
recognize whatever excites its units.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.batches import BATCH
from dgn.errors import UserError
from dgn.metrics.diversity import perceptual
from dgn.metrics.neighbours import code_spaces
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


class Similarity(Protocol):
    """How similar images are to others.

    Attributes:
        name: what computes it, in words for a page.
        network: the network that computes it, whose weights are compared with the target's.
    """

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> nn.Module: ...

    def __call__(self, queries: Tensor, explanations: Tensor) -> Tensor:
        """Returns the similarity of every query to every explanation, (Q, E) float32 on the CPU.

        Args:
            queries: (Q, 3, H, W) in image space.
            explanations: (E, 3, H, W), of the same size.
        """
        ...


class FeatureSimilarity:
    """Minus the unweighted LPIPS distance (Zhang et al. 2018) in a network's features.

    The channels at each position of each layer are scaled to length 1; squared differences are averaged over positions
    and over layers.

    Args:
        net: the network: the judge, or any other that is not the target.
        layers: the layers to compare in; None: `similarity_layers`.
    """

    def __init__(self, net: FeatureNet, layers: Sequence[str] | None = None) -> None:
        self.layers = tuple(layers) if layers is not None else tuple(similarity_layers(net))
        self.network, self.name = net.network, f"{net.name} (layers {', '.join(self.layers)})"
        self._space = perceptual(net, self.layers)

    @torch.no_grad()
    @full_precision
    def __call__(self, queries: Tensor, explanations: Tensor) -> Tensor:
        own = self._vectors(queries)
        columns = [_squared_distances(own, self._space(part)) for part in explanations.split(BATCH) if len(part)]
        return -torch.cat([torch.empty(len(own), 0), *columns], 1) / len(self.layers)

    def _vectors(self, images: Tensor) -> Tensor:
        return torch.cat([self._space(part) for part in images.split(BATCH)])


def similarity_layers(net: FeatureNet, count: int = 5) -> list[str]:
    """Returns the layers that a similarity reads: at most `count` main layers at even distances of depth.

    The last is the input of the class layer (`FeatureNet.code_layer`); deeper layers are left out.
    """
    last = net.layer(net.code_layer())
    depth = {name: place for place, name in enumerate(net.layers())}
    spaces = [
        name
        for name in code_spaces(net)
        if depth[net.layer(name).name] < depth[last.name] and net.layer(name).name != last.same_as
    ]
    if len(spaces) > count - 1:
        spaces = [spaces[round(i * (len(spaces) - 1) / max(count - 2, 1))] for i in range(count - 1)]
    return [*spaces, last.name]


class PairSimilarity:
    """Minus a distance of pairs of images, as the packages lpips and dreamsim compute it.

    Args:
        distance: maps two batches (n, 3, H, W) to distances of n values.
        network: the network that computes it.
        name: in words for a page.
        size: side in pixels to which images are resized; None: as they are.
        lowest: the value that 0 of image space has at the network's input: 0 or -1 (1 is 1).
        batch_size: the number of pairs in a batch.
    """

    def __init__(
        self,
        distance: Callable[[Tensor, Tensor], Tensor],
        network: nn.Module,
        name: str,
        size: int | None = None,
        lowest: float = 0.0,
        batch_size: int = BATCH,
    ) -> None:
        self.distance, self.network, self.name = distance, network, name
        self.size, self.lowest, self.batch_size = size, lowest, batch_size

    @torch.no_grad()
    @full_precision
    def __call__(self, queries: Tensor, explanations: Tensor) -> Tensor:
        queries, explanations = self._entered(queries), self._entered(explanations)
        pairs = torch.cartesian_prod(torch.arange(len(queries)), torch.arange(len(explanations))).reshape(-1, 2)
        parts = [
            self.distance(queries[part[:, 0]], explanations[part[:, 1]]).float().flatten().cpu()
            for part in pairs.split(self.batch_size)
            if len(part)
        ]
        return -torch.cat([torch.empty(0), *parts]).reshape(len(queries), len(explanations))

    def _entered(self, images: Tensor) -> Tensor:
        device = next((tensor.device for tensor in self.network.parameters()), torch.device("cpu"))
        images = images.float().to(device)
        if self.size is not None:
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
        return self.lowest + (1 - self.lowest) * images.clamp(0, 1)


def lpips_similarity(backbone: str = "alex", device: torch.device | str = "cpu") -> PairSimilarity:
    """Returns minus LPIPS (Zhang et al. 2018) by the package lpips, with its learned weights.

    The package downloads the weights of its network once.

    Args:
        backbone: the package's network: "alex", "vgg" or "squeeze".
        device: where it computes.

    Raises:
        UserError: if the package or its weights are missing.
    """
    model = _of_package("lpips", lambda package: package.LPIPS(net=backbone, verbose=False))
    model = model.to(device).eval()
    return PairSimilarity(model, model, f"LPIPS ({backbone})", lowest=-1.0)


def dreamsim_similarity(device: torch.device | str = "cpu", folder: str = "models") -> PairSimilarity:
    """Returns minus DreamSim (Fu et al. 2023) by the package dreamsim, the similarity of the published MIS.

    Args:
        device: where it computes.
        folder: where the package keeps its weights, which it downloads once.

    Raises:
        UserError: if the package or its weights are missing.
    """
    made = _of_package("dreamsim", lambda package: package.dreamsim(pretrained=True, device=device, cache_dir=folder))
    model = made[0].eval()
    return PairSimilarity(model, model, "DreamSim", size=224)


def _of_package(name: str, make: Callable[[Any], Any]) -> Any:
    try:
        package = importlib.import_module(name)
    except ImportError:
        raise UserError(f"the similarity {name} needs the package {name}: pip install 'dgn[similarity]'") from None
    try:
        return make(package)
    except Exception as error:  # a download that fails raises what its library likes
        raise UserError(f"the similarity {name} cannot be loaded: {error}; it downloads its weights once") from error


def _squared_distances(vectors: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(vectors, others, compute_mode="donot_use_mm_for_euclid_dist").square()
