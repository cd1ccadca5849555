"""What the searches of activation maximization give: preferred images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.outcomes import Outcome
from dgn.data.images import save_png
from dgn.files import image_name


@dataclass
class Preferred:
    """The preferred images found by N searches.

    Attributes:
        images: (N, 3, H, W) in image space, on the CPU: the last image of each search, as in the paper.
        activations: (N,), the objectives on these images, from the layers' own activations.
        curve: (steps, N), the value that was maximized, before each step.
        objectives: the objective of each image.
        seeds: the seed of each image.
        outcomes: whether each search's image is a result; by default all are.
        steps: the number of steps of each search; by default all rows of `curve`.
        starts: where each search began ("noise", "real"); by default "".
    """

    images: Tensor
    activations: Tensor
    curve: Tensor
    objectives: list[Objective]
    seeds: list[int]
    outcomes: list[Outcome] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outcomes = self.outcomes or [Outcome()] * len(self.objectives)
        self.steps = self.steps or [len(self.curve)] * len(self.objectives)
        self.starts = self.starts or [""] * len(self.objectives)

    @property
    def found(self) -> list[bool]:
        """Whether each image is a result: False if its search stayed silent or met values that are not finite."""
        return [outcome.found for outcome in self.outcomes]

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every image as a PNG named by its objective and seed; returns the paths."""
        paths = [Path(folder) / image_name(str(o), s) for o, s in zip(self.objectives, self.seeds, strict=True)]
        for image, path in zip(self.images, paths, strict=True):
            save_png(image, path)
        return paths


def joined(parts: Sequence[Preferred], objectives: Sequence[Objective]) -> Preferred:
    """Returns the images of several searches as one, in the order of `objectives`.

    Curves of fewer steps than the longest end in NaN.
    """
    steps = max(len(part.curve) for part in parts)
    curves = [torch.cat([p.curve, p.curve.new_full((steps - len(p.curve), len(p.seeds)), torch.nan)]) for p in parts]
    several = [o for part in parts for o in part.objectives]
    order = sorted(range(len(several)), key=lambda i: objectives.index(several[i]))

    def ordered(name: str) -> list[Any]:
        values = [value for part in parts for value in getattr(part, name)]
        return [values[i] for i in order]

    return Preferred(
        torch.cat([part.images for part in parts])[order],
        torch.cat([part.activations for part in parts])[order],
        torch.cat(curves, 1)[:, order],
        *(ordered(name) for name in ("objectives", "seeds", "outcomes", "steps", "starts")),
    )
