"""Evaluation of objectives: many at once during a search, or each on every real image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Reader, Simple, factors
from dgn.data.batches import Images, batches
from dgn.devices import moved
from dgn.networks.featurenet import FeatureNet


class Evaluation:
    """The values of many images' objectives at once: image n has objective n.

    It takes one gather for each kind of term and layer, for any number of units: nothing loops over units.
    """

    def __init__(self, objectives: Sequence[Objective], device: torch.device | str = "cpu") -> None:
        self.count = len(objectives)
        self.layers = tuple(dict.fromkeys(layer for o in objectives for layer in o.layers))
        rows: list[int] = []
        weights: list[float] = []
        uses: dict[tuple[int, Simple], list[tuple[int, int]]] = {}
        for row, objective in enumerate(objectives):
            for weight, term in objective.terms:
                for place, factor in enumerate(factors(term)):
                    uses.setdefault((row, factor), []).append((len(rows), place))
                rows.append(row)
                weights.append(weight)
        grouped: dict[tuple, list[tuple[int, Simple]]] = {}
        for row, factor in uses:
            grouped.setdefault(factor.group, []).append((row, factor))
        degree = max((place + 1 for places in uses.values() for _, place in places), default=1)
        table = torch.full((len(rows), degree), len(uses))  # unused entries read the 1 appended to the values
        self._readers: list[tuple[str, Reader]] = []
        entry = 0
        for entries in grouped.values():
            images = torch.tensor([row for row, _ in entries], device=device)
            terms = [term for _, term in entries]
            kind: Any = type(terms[0])  # a group's terms are of one type
            reader: Reader = kind.reader(terms, images)
            self._readers.append((terms[0].layer, reader))
            for key in entries:
                for row, place in uses[key]:
                    table[row, place] = entry
                entry += 1
        self._table = table.to(device)
        self._rows, self._weights = torch.tensor(rows, device=device), torch.tensor(weights, device=device)

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Returns the value of each image's objective, (N,), float32.

        Args:
            activations: {layer: (N, ...)} of N images.
        """
        parts = [reader(activations[layer].float()) for layer, reader in self._readers]
        flat = torch.cat([*parts, parts[0].new_ones(1)])
        values = flat[self._table].prod(1) if self._table.shape[1] > 1 else flat[self._table[:, 0]]
        return torch.zeros(self.count, device=flat.device).index_add(0, self._rows, self._weights * values)


def objective_values(target: FeatureNet, objectives: Sequence[Objective], images: Images) -> Tensor:
    """Returns every objective's value on every image, (images, objectives), on the CPU.

    Args:
        target: the network whose units the objectives name.
        objectives: the objectives to evaluate.
        images: (N, 3, H, W) in image space, or batches of them.
    """
    return torch.cat(list(objective_values_by_batch(target, objectives, images)))


def objective_values_by_batch(target: FeatureNet, objectives: Sequence[Objective], images: Images) -> Iterator[Tensor]:
    """Yields every objective's value on every image of a batch, (n, objectives), on the CPU, batch by batch.

    The arguments are those of `objective_values`, which keeps all of them.
    """
    device = target.device
    layers = list(dict.fromkeys(layer for o in objectives for layer in o.layers))
    for batch in batches(images):
        with torch.no_grad():
            activations = target(moved(batch, device), layers)
            yield torch.stack([o.values(activations) for o in objectives], 1).cpu()
