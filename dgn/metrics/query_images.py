"""The real images of prediction tasks: queries and real explanations of many units, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.data.batches import Images, batches, pick
from dgn.metrics.extremes import Extremes, extreme_images
from dgn.networks.featurenet import FeatureNet

_MEMORY = 512 * 2**20
_SAMPLE = 64


@dataclass(frozen=True)
class UnitImages:
    """The images of one unit, (n, 3, H, W) in image space.

    Attributes:
        strong_queries: from the top of the unit's activations.
        weak_queries: from the bottom, one for each strong query.
        strong: real explanations that excite the unit, the next images from the top.
        weak: real explanations that do not, the next from the bottom.
    """

    strong_queries: Tensor
    weak_queries: Tensor
    strong: Tensor
    weak: Tensor


@dataclass(frozen=True)
class _Places:
    """The positions in the stream of the images of `UnitImages`."""

    strong_queries: list[int]
    weak_queries: list[int]
    strong: list[int]
    weak: list[int]

    @property
    def all(self) -> list[int]:
        return [*self.strong_queries, *self.weak_queries, *self.strong, *self.weak]


class QueryImages:
    """Chooses the queries and the real explanations of units; no image of a unit has two roles.

    The k-th strongest image and the k-th weakest are the k-th pair of queries; the next ones in both orders are the
    real explanations (Borowski et al. 2021; Zimmermann et al. 2023). Strong images are those with a higher activation
    than any of the weak ones, at most half of all. If these are fewer than are wanted, at least half of them are
    queries; a unit that has the same activation on all images has none.

    Args:
        target: the network.
        objectives: the units, or any other objectives; each once.
        real: returns the stream of real images from the first, each time it is called.
        tasks: the number of pairs of queries of a unit.
        references: the number of real explanations of each kind.
        seed: seeds the order of images of equal activation.
        memory: bytes of images that are held at once; with more units the stream is read several times.

    Raises:
        UserError: if there is no real image.
    """

    def __init__(
        self,
        target: FeatureNet,
        objectives: Sequence[Objective],
        real: Callable[[], Images],
        tasks: int = 20,
        references: int = 9,
        seed: int = 0,
        memory: int = _MEMORY,
    ) -> None:
        objectives = list(dict.fromkeys(objectives))
        self.units = tuple(str(objective) for objective in objectives)
        self._real, self._memory = real, memory
        extremes = extreme_images(target, objectives, real(), tasks + references, _SAMPLE, seed)
        self._places = [_places(extremes, row, tasks, references) for row in range(len(objectives))]
        self._sample = extremes.sample

    def images(self, units: int | None = None) -> Iterator[tuple[int, UnitImages]]:
        """Yields (the unit's place, its images) of each unit that has a pair of queries.

        Args:
            units: the number of units; None: all.
        """
        first = next(iter(batches(self._real())))
        at_once = max(1, self._memory // (4 * first[0].numel()))
        able = [place for place, places in enumerate(self._places) if places.strong_queries][:units]
        while able:
            group, wanted = [able[0]], set(self._places[able[0]].all)
            for place in able[1:]:
                more = wanted | set(self._places[place].all)
                if len(more) > at_once:
                    break
                group, wanted = [*group, place], more
            able = able[len(group) :]
            order = sorted(wanted)
            rows = {index: row for row, index in enumerate(order)}
            images = pick(self._real(), order)
            for place in group:
                at = self._places[place]
                parts = (at.strong_queries, at.weak_queries, at.strong, at.weak)
                yield place, UnitImages(*(images[[rows[i] for i in part]] for part in parts))

    def sample(self) -> Tensor:
        """Returns images drawn at random from the stream, (at most 64, 3, H, W)."""
        return pick(self._real(), self._sample.tolist())


def _places(extremes: Extremes, row: int, tasks: int, references: int) -> _Places:
    kept = slice(0, min(tasks + references, int(extremes.count[row]) // 2))
    strongest, weakest = extremes.strongest[row, kept].tolist(), extremes.weakest[row, kept].tolist()
    high, low = extremes.strongest_values[row, kept].tolist(), extremes.weakest_values[row, kept].tolist()
    active = sum(value > low[-1] for value in high)  # beyond these, the image no longer excites the unit
    references = min(references, active // 2)
    tasks = min(tasks, active - references)
    end = tasks + references
    return _Places(strongest[:tasks], weakest[:tasks], strongest[tasks:end], weakest[tasks:end])
