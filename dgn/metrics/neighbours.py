"""The real image nearest to each preferred one, to check whether the search reproduces a training image.

Nguyen et al. 2016, S22: in pixel space and in the code spaces of the encoder's layers, within the unit's class.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.devices import double, has_float64, moved
from dgn.errors import UserError
from dgn.metrics.training_images import Numbered
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision

PIXELS = "pixels"
_MEMORY = 512 * 2**20
_ROWS = 64


@dataclass(frozen=True)
class Nearest:
    """The nearest real image of each of N images, in one space.

    Attributes:
        indices: (N,), the place of the nearest real image (the first of equal ones); -1 if there was none to compare
            with, or if the image's own codes are not finite.
        distances: (N,), Euclidean, float64; NaN where the index is -1.
    """

    indices: Tensor
    distances: Tensor


@torch.no_grad()
@full_precision
def nearest(
    sets: Sequence[Tensor],
    real: Numbered,
    net: FeatureNet | None = None,
    layers: Sequence[str] = (),
    classes: Sequence[Sequence[int | None]] | None = None,
    below: int | None = None,
    memory: int = _MEMORY,
) -> list[dict[str, Nearest]]:
    """Finds the nearest real image for "pixels" and each given layer, by an exact search.

    Cost, for R real images and Q images of all sets together, of which q are of one class, with d values an image in
    all spaces:

    - The real images are read once, and each is encoded once. Each image of the sets is encoded once if the real
      images come one class after another, or if all sets' values fit in `memory`. If neither holds, images whose values
      were dropped are encoded again for a later batch of real ones.
    - There are R * q comparisons of 2 d operations each, or R * Q for images without a class. Encoding takes longer as
      long as q is small.
    - `memory` holds 4 d bytes an image of the classes that are compared at the time. Beside it there are a batch of
      real images, its values (4 d bytes an image), and one space of both in float64. Sets may be uint8 and are not
      copied.

    Args:
        sets: several sets of images, each (N, 3, H, W) in image space, or uint8. For "pixels" they are resized to the
            real images' size.
        real: the real images; read once.
        net: the network whose layers are compared.
        layers: the layers to compare in.
        classes: the class of each image of each set. An image with a class is compared with real images of its class;
            one with None, with all. By default all are compared with all.
        below: an image without a class is compared only with real images whose place is below this.
        memory: bytes that the values of the sets' images may take.

    Returns:
        For each set, {"pixels" or layer: the nearest real images}.

    Raises:
        UserError: if there is no real image for images without a class.
    """
    counts = [len(images) for images in sets]
    flat = [label for labels in classes for label in labels] if classes is not None else [None] * sum(counts)
    queries: _Queries | None = None
    best: dict[str, _Best] = {}
    for places, images, labels in real:
        if queries is None:
            vectors = _Vectors((images.shape[-2], images.shape[-1]), net, layers)
            queries = _Queries(sets, flat, vectors, memory)
            best = {space: _Best(len(flat), vectors.device) for space in (PIXELS, *layers)}
        compared = [(label, where) for label, where in _columns(places, labels, below) if queries.has(label)]
        if not compared:
            continue
        candidates, numbers = queries.vectors(images), torch.as_tensor(places)
        for label, where in compared:
            for rows, codes in queries.chunks(label):
                for space, tracker in best.items():
                    tracker.add(rows, codes[space], numbers[where], candidates[space][where])
    if queries is None and None in flat:
        raise UserError("no real image to compare with; give reference images")
    return _by_set(best, (PIXELS, *layers), counts)


def code_spaces(net: FeatureNet) -> list[str]:
    """Returns the network's main layers by their usual names: for CaffeNet conv1 to conv5 and fc6 to fc8.

    These are the network's outermost modules that have matrices or filters; rectified if an alias defines them so.
    Where they are fewer than four (`features` and `classifier` of VGG), their own modules take their place; of more
    than eight, eight at even distances are left.
    """
    main = _with_matrices("", net.network)
    while len(main) < _FEWEST_LAYERS:
        opened = [part for name, module in main for part in _with_matrices(f"{name}.", module) or [(name, module)]]
        if [name for name, _ in opened] == [name for name, _ in main]:
            break
        main = opened
    names = [name for name, _ in main if name in net.aliases or name in net.layers()]
    if len(names) <= _MOST_LAYERS:
        return names
    return [names[round(i * (len(names) - 1) / (_MOST_LAYERS - 1))] for i in range(_MOST_LAYERS)]


_FEWEST_LAYERS, _MOST_LAYERS = 4, 8


def _with_matrices(prefix: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Returns a module's children that have matrices or filters, by name; of an only child, its children."""
    children = [(prefix + name, child) for name, child in module.named_children()]
    main = [(name, child) for name, child in children if any(p.ndim >= 2 for p in child.parameters())]
    if len(children) == 1 and main:
        return _with_matrices(f"{main[0][0]}.", main[0][1]) or main
    return main


def _by_set(best: Mapping[str, "_Best"], spaces: Sequence[str], counts: Sequence[int]) -> list[dict[str, Nearest]]:
    """Splits what was found for all images into the results of sets of these sizes, in each space."""
    results: list[dict[str, Nearest]] = [{} for _ in counts]
    nothing = _Best(sum(counts), torch.device("cpu"))  # where no real image was compared
    for space in spaces:
        nearest = best.get(space, nothing).nearest()
        parts = zip(nearest.indices.split(list(counts)), nearest.distances.split(list(counts)), strict=True)
        for of_set, (indices, distances) in zip(results, parts, strict=True):
            of_set[space] = Nearest(indices, distances)
    return results


def _columns(places: Sequence[int], labels: Tensor, below: int | None) -> Iterator[tuple[int | None, Tensor]]:
    """Yields (class, where): the images of a batch with which images of the class are compared; None: of no class."""
    for label in labels.unique().tolist():
        yield label, torch.nonzero(labels == label).flatten()
    within = [i for i, place in enumerate(places) if below is None or place < below]
    if within:
        yield None, torch.tensor(within)


class _Vectors:
    """Images as vectors (N, d) in pixel space and in each layer."""

    def __init__(self, size: tuple[int, int], net: FeatureNet | None, layers: Sequence[str]) -> None:
        self.size, self.net, self.layers = size, net, list(layers)
        self.device = net.device if net else torch.device("cpu")
        units = sum(prod(net.layer(name).shape) for name in layers) if net is not None else 0
        self.bytes = 4 * (units + 3 * size[0] * size[1])

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        images = moved(images, self.device)
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        codes = self.net(images, self.layers) if self.net is not None and self.layers else {}
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        return {PIXELS: images.flatten(1)} | {name: codes[name].float().flatten(1) for name in self.layers}


class _Queries:
    """The images of all sets, by class; their vectors are made when needed, and kept as far as the memory goes."""

    def __init__(self, sets: Sequence[Tensor], classes: Sequence[int | None], vectors: _Vectors, memory: int) -> None:
        self.sets, self.vectors = sets, vectors
        self._chunks: dict[int | None, list[tuple[int, Tensor, Tensor]]] = {}  # set, rows of it, rows of all
        self._held: OrderedDict[tuple[int | None, int], dict[str, Tensor]] = OrderedDict()
        most = max(1, memory // vectors.bytes)
        self._room, at_once = most, max(1, min(_ROWS, most // 4))
        start = 0
        for n, images in enumerate(sets):
            own: dict[int | None, list[int]] = {}
            for row in range(len(images)):
                own.setdefault(classes[start + row], []).append(row)
            for label, several in own.items():
                chunks = self._chunks.setdefault(label, [])
                chunks += [(n, rows, rows + start) for rows in torch.tensor(several).split(at_once)]
            start += len(images)

    def has(self, label: int | None) -> bool:
        """Whether there are images of a class."""
        return label in self._chunks

    def chunks(self, label: int | None) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Yields (rows, vectors) of the images of a class, in chunks."""
        for i, (n, rows, of_all) in enumerate(self._chunks[label]):
            codes = self._held.pop((label, i), None)
            if codes is None:
                codes = self.vectors(self.sets[n][rows])
            self._held[label, i] = codes  # as the one used last
            while len(self._held) > 1 and sum(len(held[PIXELS]) for held in self._held.values()) > self._room:
                self._held.popitem(last=False)
            yield of_all, codes


class _Best:
    """The nearest images so far.

    Squared distances come from a matrix product in float64, to be accurate for near copies. The distance of a nearest
    image is computed from the difference of the vectors.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        device = device if has_float64(device) else torch.device("cpu")
        self.places = torch.full((count,), -1, device=device)
        self.squares = torch.full((count,), torch.inf, dtype=torch.float64, device=device)

    def nearest(self) -> Nearest:
        distances = torch.where(self.places < 0, torch.nan, self.squares.sqrt())
        return Nearest(self.places.cpu(), distances.cpu())

    def add(self, rows: Tensor, queries: Tensor, places: Tensor, candidates: Tensor) -> None:
        """Compares queries (m, d), the images at `rows`, with candidates (n, d), the real images at `places`."""
        queries, candidates = double(queries), double(candidates)
        rows, places = rows.to(queries.device), places.to(queries.device)
        own, others = _squares(queries), _squares(candidates)
        squared, columns = (others - 2 * queries @ candidates.T).min(1)
        rounding = 1e-9 * (own + others.max())
        closer = own + squared <= self.squares[rows] + rounding  # few after the first batches
        rows, columns = rows[closer], columns[closer]
        squares, places = _squares(queries[closer] - candidates[columns]), places[columns]
        better = (squares < self.squares[rows]) | ((squares == self.squares[rows]) & (places < self.places[rows]))
        self.squares[rows[better]], self.places[rows[better]] = squares[better], places[better]


def _squares(vectors: Tensor) -> Tensor:
    """Returns the squared norm of each vector, (N, d) -> (N,)."""
    return torch.linalg.vecdot(vectors, vectors)
