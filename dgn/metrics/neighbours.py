"""The real image nearest to each preferred one: is the picture a memory of a training image? (Nguyen et al. 2016,
S22: in pixel space and in the code spaces of the encoder's layers.)"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.data.batches import Images, batches
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

PIXELS = "pixels"
_MEMORY = 512 * 2**20


@dataclass(frozen=True)
class Nearest:
    """Of each of N images, in one space. indices (N,): the place of the nearest real image in the stream (the first
    of equals). distances (N,): Euclidean, float64."""

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
    """images (N, 3, H, W) in image space -> for "pixels" and each of the net's layers, the nearest of the real
    images, over all of them, exactly.

    real: gives the real images, each time it is called, from the first. Images of another size than theirs are
    resized to it for "pixels". memory: bytes that the images' vectors may take; where they need more, the real
    images are read several times. Raises UserError where there is no real image."""
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
    """The net's main layers, by the names people call them: of CaffeNet conv1 to conv5 and fc6 to fc8. They are the
    network's outermost modules that have matrices or filters, rectified where an alias says so."""
    modules: nn.Module = net.network
    prefix = ""
    while len(children := list(modules.named_children())) == 1:
        prefix, modules = f"{prefix}{children[0][0]}.", children[0][1]
    own = [prefix + name for name, child in children if any(p.ndim >= 2 for p in child.parameters())]
    return [name for name in own if name in net.aliases or name in net.layers()]


def _nearest(
    images: Tensor, real: Images, size: tuple[int, int], net: FeatureNet | None, layers: Sequence[str]
) -> dict[str, Nearest]:
    vectors = _Vectors(size, net, layers)
    queries: dict[str, Tensor] = {}  # float64, filled batch by batch: a second copy would double the memory
    start = 0
    for batch in batches(images):
        for space, found in vectors(batch).items():
            if not start:
                queries[space] = torch.empty(len(images), found.shape[1], dtype=torch.float64)
            queries[space][start : start + len(batch)] = found
        start += len(batch)
    best = {space: _Best(whole) for space, whole in queries.items()}
    start = 0
    for batch in batches(real):
        for space, candidates in vectors(batch).items():
            best[space].add(candidates, start)
        start += len(batch)
    return {space: Nearest(found.indices, found.distances) for space, found in best.items()}


class _Vectors:
    """Images as vectors (N, d) in pixel space and in each layer."""

    def __init__(self, size: tuple[int, int], net: FeatureNet | None, layers: Sequence[str]) -> None:
        self.size, self.net, self.layers = size, net, list(layers)
        self.device = net.device if net else torch.device("cpu")

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        images = images.to(self.device).float()
        codes = self.net(images, self.layers) if self.net is not None and self.layers else {}
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        return {PIXELS: images.flatten(1)} | {name: codes[name].float().flatten(1) for name in self.layers}


class _Best:
    """The nearest so far. Squared distances come from a matrix product in float64, so that those of near copies are
    right; the distance of what was chosen is measured from the difference itself."""

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries  # (N, d), float64
        self.own = _squares(self.queries)
        self.indices = torch.full((len(queries),), -1)
        self.squares = torch.full((len(queries),), torch.inf, dtype=torch.float64)

    @property
    def distances(self) -> Tensor:
        return self.squares.sqrt()

    def add(self, candidates: Tensor, start: int) -> None:
        """candidates (n, d): the vectors of the stream's places start .. start + n - 1."""
        codes = candidates.double()
        own = _squares(codes)
        for rows in torch.arange(len(self.queries)).split(256):
            queries = self.queries[rows].to(codes)
            found, places = (own - 2 * queries @ codes.T).min(1)
            found, places = found.cpu() + self.own[rows], places.cpu()
            rounding = 1e-9 * (self.own[rows] + float(own.max()))
            closer = found <= self.squares[rows] + rounding  # few, once the first have been seen
            rows, places = rows[closer], places[closer]
            squares = _squares(queries[closer] - codes[places]).cpu()
            better = squares < self.squares[rows]
            self.squares[rows[better]] = squares[better]
            self.indices[rows[better]] = places[better] + start


def _squares(vectors: Tensor) -> Tensor:
    """(N, d) -> (N,): each one's product with itself."""
    return torch.linalg.vecdot(vectors, vectors)
