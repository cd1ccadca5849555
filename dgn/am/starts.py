"""Where the searches of each objective start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.errors import UserError


@dataclass(frozen=True)
class Starts:
    """The starts of the searches of each objective.

    Attributes:
        images: {objective: (M, 3, h, w)} in image space, for methods on images.
        codes: {objective: (M, *code_shape)}, for methods on the codes of a prior.
        seeds: the seed of each start, in order; None: seed s uses start s modulo their number.
    """

    images: Mapping[Objective, Tensor]
    codes: Mapping[Objective, Tensor]
    seeds: Sequence[int] | None = None

    def __contains__(self, objective: Objective) -> bool:
        """Whether the searches of an objective have a start here."""
        return objective in self.images or objective in self.codes

    def select(
        self, starts: Mapping[Objective, Tensor], seeds: Sequence[int], objectives: Sequence[Objective]
    ) -> Tensor:
        """Returns the start of each seed and objective, (N, ...), from `images` or `codes`.

        Raises:
            UserError: if there is none for an objective.
        """
        absent = [o.label for o in objectives if o not in starts]
        if absent:
            raise UserError(f"no real image of {absent[0]} to start near; leave it out, or give start=noise")
        known = list(self.seeds or ())
        places = [known.index(s) if s in known else s for s in seeds]
        return torch.stack([starts[o][i % len(starts[o])] for i, o in zip(places, objectives, strict=True)])
