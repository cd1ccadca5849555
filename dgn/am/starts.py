"""Where the searches of each objective start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective


@dataclass(frozen=True)
class Starts:
    """Where the searches of each objective start: images (M, 3, h, w) in image space for methods on images, codes
    (M, *code shape) for those on the codes of a prior. seeds: whose starts they are, in order; None: seed s begins at
    start s modulo their number."""

    images: Mapping[Objective, Tensor]
    codes: Mapping[Objective, Tensor]
    seeds: Sequence[int] | None = None

    def of(self, starts: Mapping[Objective, Tensor], seeds: Sequence[int], objectives: Sequence[Objective]) -> Tensor:
        """The start of each seed and objective, (N, ...), out of `images` or `codes`."""
        known = list(self.seeds or ())
        places = [known.index(s) if s in known else s for s in seeds]
        return torch.stack([starts[o][i % len(starts[o])] for i, o in zip(places, objectives, strict=True)])
