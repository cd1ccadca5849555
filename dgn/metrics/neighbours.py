"""The real image nearest to each preferred one, to check whether the search reproduces a training image.

Nguyen et al. 2016, S22: in pixel space and in the code spaces of the encoder's layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.batches import Images, batches
from dgn.devices import double, moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

PIXELS = "pixels"
_MEMORY = 512 * 2**20


@dataclass(frozen=True)
class Nearest:
    """The nearest real image of each of N images, in one space.

    Attributes:
        indices: (N,), the index of the nearest real image in the stream (the first of equal ones).
        distances: (N,), Euclidean, float64.
    """

    indices: Tensor
    distances: Tensor


@torch.no_grad()
@full_precision
def nearest(
    images: Tensor,
    real: Callable[[], Images],
    net: FeatureNet | None = None,
    layers: Sequence[str] = (),
    memory: int = _MEMORY,
) -> dict[str, Nearest]:
    """Finds the nearest real image for "pixels" and each given layer, by an exact search over all real images.

    Args:
        images: (N, 3, H, W) in image space; for "pixels" they are resized to the real images' size.
        real: returns the stream of real images, from the first, each time it is called.
        net: the network whose layers are compared.
        layers: the layers to compare in.
        memory: bytes that the images' vectors may take; if they need more, the real images are read several times.

    Returns:
        {"pixels" or layer: the nearest real images}.

    Raises:
        UserError: if there is no real image.
    """
    first = next((batch for batch in batches(real()) if len(batch)), None)
    if first is None:
        raise UserError("no real image to compare with; give reference images")
    height, width = first.shape[-2:]
    size = (height, width)
    units = sum(prod(net.layer(name).shape) for name in layers) if net is not None else 0
    at_once = max(1, memory // (8 * (units + 3 * size[0] * size[1])))
    parts = [_nearest(part, real(), size, net, layers) for part in images.split(at_once)]
    return {
        space: Nearest(torch.cat([p[space].indices for p in parts]), torch.cat([p[space].distances for p in parts]))
        for space in (PIXELS, *layers)
    }


def code_spaces(net: FeatureNet) -> list[str]:
    """Returns the network's main layers by their usual names: for CaffeNet conv1 to conv5 and fc6 to fc8.

    These are the network's outermost modules that have matrices or filters; rectified if an alias defines them so.
    """
    modules: nn.Module = net.network
    prefix = ""
    while len(children := list(modules.named_children())) == 1:
        prefix, modules = f"{prefix}{children[0][0]}.", children[0][1]
    main = [prefix + name for name, child in children if any(p.ndim >= 2 for p in child.parameters())]
    return [name for name in main if name in net.aliases or name in net.layers()]


def _nearest(
    images: Tensor, real: Images, size: tuple[int, int], net: FeatureNet | None, layers: Sequence[str]
) -> dict[str, Nearest]:
    vectors = _Vectors(size, net, layers)
    queries: dict[str, Tensor] = {}  # float64, filled batch by batch: a second copy would double the memory
    start = 0
    for batch in batches(images):
        for space, codes in vectors(batch).items():
            if not start:
                queries[space] = torch.empty(len(images), codes.shape[1], dtype=torch.float64)
            queries[space][start : start + len(batch)] = codes.cpu()
        start += len(batch)
    best = {space: _Best(whole) for space, whole in queries.items()}
    start = 0
    for batch in batches(real):
        for space, candidates in vectors(batch).items():
            best[space].add(candidates, start)
        start += len(batch)
    return {space: Nearest(tracker.indices, tracker.distances) for space, tracker in best.items()}


class _Vectors:
    """Images as vectors (N, d) in pixel space and in each layer."""

    def __init__(self, size: tuple[int, int], net: FeatureNet | None, layers: Sequence[str]) -> None:
        self.size, self.net, self.layers = size, net, list(layers)
        self.device = net.device if net else torch.device("cpu")

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        images = moved(images, self.device).float()
        codes = self.net(images, self.layers) if self.net is not None and self.layers else {}
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        return {PIXELS: images.flatten(1)} | {name: codes[name].float().flatten(1) for name in self.layers}


class _Best:
    """The nearest images so far.

    Squared distances come from a matrix product in float64, to be accurate for near copies. The distance of a nearest
    image is computed from the difference of the vectors.
    """

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries  # (N, d), float64
        self.norms = _squares(self.queries)
        self.indices = torch.full((len(queries),), -1)
        self.squares = torch.full((len(queries),), torch.inf, dtype=torch.float64)

    @property
    def distances(self) -> Tensor:
        return self.squares.sqrt()

    def add(self, candidates: Tensor, start: int) -> None:
        """Adds candidates (n, d): the vectors of images start .. start + n - 1 of the stream."""
        codes = double(candidates)
        norms = _squares(codes)
        for rows in torch.arange(len(self.queries)).split(256):
            queries = self.queries[rows].to(codes)
            squared, indices = (norms - 2 * queries @ codes.T).min(1)
            squared, indices = squared.cpu() + self.norms[rows], indices.cpu()
            rounding = 1e-9 * (self.norms[rows] + float(norms.max()))
            closer = squared <= self.squares[rows] + rounding  # few after the first batches
            rows, indices = rows[closer], indices[closer]
            squares = _squares(queries[closer] - codes[indices]).cpu()
            better = squares < self.squares[rows]
            self.squares[rows[better]] = squares[better]
            self.indices[rows[better]] = indices[better] + start


def _squares(vectors: Tensor) -> Tensor:
    """Returns the squared norm of each vector, (N, d) -> (N,)."""
    return torch.linalg.vecdot(vectors, vectors)
