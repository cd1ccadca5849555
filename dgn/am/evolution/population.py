"""Evolution as the update of a method: a population of candidates for each search, in place of a gradient."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgn.am.evolution.strategy import Array, MakeStrategy, Strategy


class Evolve:
    """An update that needs no gradient.

    Each step is a generation: `ask` gives the candidates of every search, and `tell` takes their scores. Regularizers
    act on candidates: views change what the target is shown, losses are subtracted from the scores, and projections
    (`Clip`) move candidates before they are scored. A regularizer of the gradient alone cannot be combined with it.
    The result of a search is the candidate with the highest score.

    Args:
        strategy: makes the evolution of a search, e.g. `partial(SphericalCMA, population=40)`.
    """

    gradient_free = True  # for what reads a method's file

    def __init__(self, strategy: MakeStrategy) -> None:
        self.strategy = strategy

    def begin(self, parameters: Tensor, steps: int, unit: float, seeds: Sequence[int]) -> None:
        """Starts N searches.

        Args:
            parameters: (N, ...), where they start.
            steps: the number of generations.
            unit: as for `Update`.
            seeds: of their random numbers.
        """
        self._like, self._steps = parameters.detach(), steps
        starts = parameters.detach().flatten(1).cpu().numpy().astype(np.float64)
        self._searches: list[Strategy] = [
            self.strategy(start=start, unit=unit, generations=steps, seed=seed)
            for start, seed in zip(starts, seeds, strict=True)
        ]
        self.best = parameters.detach().clone()
        self.best_scores = torch.full((len(parameters),), -torch.inf, device=parameters.device)

    @property
    def population(self) -> int:
        """The number of candidates in a generation."""
        return self.strategy(start=np.ones(2), unit=1.0, generations=1, seed=0).population

    @property
    def centres(self) -> Tensor:
        """The centre of each search's distribution, (N, ...)."""
        return self._tensor(np.stack([search.centre for search in self._searches])).view_as(self._like)

    def ask(self) -> Tensor:
        """Returns the candidates of the next generation, (N, population, ...)."""
        vectors = np.stack([search.ask() for search in self._searches])
        return self._tensor(vectors).view(*vectors.shape[:2], *self._like.shape[1:])

    def tell(self, candidates: Tensor, scores: Tensor) -> None:
        """Takes the scores of a generation.

        A candidate without a score (NaN, or an infinite one) counts as the median of its generation, which moves the
        search nowhere. A generation without any score leaves the search as it was.

        Args:
            candidates: (N, population, ...), as they were scored.
            scores: (N, population).
        """
        values, at = torch.where(scores.isfinite(), scores, -torch.inf).max(1)
        better = values > self.best_scores
        rows = torch.arange(len(candidates), device=candidates.device)
        mask = better.view(-1, *[1] * (self._like.ndim - 1))
        self.best = torch.where(mask, candidates[rows, at], self.best)
        self.best_scores = torch.where(better, values, self.best_scores)
        vectors = candidates.detach().flatten(2).cpu().numpy().astype(np.float64)
        for search, own, told in zip(self._searches, vectors, scores.detach().cpu().numpy(), strict=True):
            known = np.isfinite(told)
            if known.any():
                search.tell(own, np.where(known, told, np.median(told[known])).astype(np.float64))

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self._like.device)
