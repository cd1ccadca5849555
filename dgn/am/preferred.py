"""What the searches of activation maximization give: preferred images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.outcomes import Outcome
from dgn.am.setting import resized
from dgn.data.exact import write_exact
from dgn.data.images import save_png
from dgn.files import image_name

_TENSORS = ("images", "activations", "start_images", "start_activations")
_LISTS = ("objectives", "seeds", "outcomes", "steps", "starts", "tries")


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
        tries: how often each search was begun (`dgn.am.again`); by default once.
        start_images: uint8 (N, 3, h, w), what each search began at, before its first step: for codes, the decoded
            start. None if it was not recorded.
        start_activations: (N,), the objectives on these images; None if they were not recorded.
    """

    images: Tensor
    activations: Tensor
    curve: Tensor
    objectives: list[Objective]
    seeds: list[int]
    outcomes: list[Outcome] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    start_images: Tensor | None = None
    start_activations: Tensor | None = None

    def __post_init__(self) -> None:
        self.outcomes = self.outcomes or [Outcome()] * len(self.objectives)
        self.steps = self.steps or [len(self.curve)] * len(self.objectives)
        self.starts = self.starts or [""] * len(self.objectives)
        self.tries = self.tries or [1] * len(self.objectives)

    @property
    def found(self) -> list[bool]:
        """Whether each image is a result: False if its search stayed silent or met values that are not finite."""
        return [outcome.found for outcome in self.outcomes]

    def unsearched(self) -> "Preferred | None":
        """Returns what the searches began at, in the form of preferred images; None if it was not recorded."""
        if self.start_images is None or self.start_activations is None:
            return None
        images = self.start_images.float().div(255)
        return Preferred(images, self.start_activations, torch.empty(0, len(images)), self.objectives, self.seeds)

    def correlation_with_start(self) -> Tensor | None:
        """Returns the Pearson correlation of each image with what its search began at, over all pixels and channels.

        Shape (N,); NaN if either image is of one value. None if the starts were not recorded. The start is resized if
        a method enlarges its images on the way.
        """
        if self.start_images is None:
            return None
        size = (self.images.shape[-2], self.images.shape[-1])
        values = []
        for image, start in zip(self.images, self.start_images, strict=True):
            pair = torch.stack([image.flatten(), resized(start[None].float().div(255), size).flatten()]).double()
            values.append(torch.corrcoef(pair)[0, 1])
        return torch.stack(values).float() if values else torch.empty(0)

    def replace(self, rows: Sequence[int], others: "Preferred", chosen: Sequence[int]) -> None:
        """Puts images of other searches with as many steps, by their indices `chosen`, in place of those at `rows`."""
        for name in _TENSORS:
            own, new = getattr(self, name), getattr(others, name)
            if own is not None:
                own[rows] = new[chosen]
        self.curve[:, rows] = others.curve[:, chosen]
        for name in _LISTS:
            for row, i in zip(rows, chosen, strict=True):
                getattr(self, name)[row] = getattr(others, name)[i]

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every image as a PNG named by its objective and seed; returns the paths.

        Beside it stands an array of the same name (.npy) if the image has other channels than grey and RGB.
        """
        paths = [Path(folder) / image_name(str(o), s) for o, s in zip(self.objectives, self.seeds, strict=True)]
        for image, path in zip(self.images, paths, strict=True):
            save_png(image, path)
            write_exact(image, path)
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

    start_images = [part.start_images for part in parts if part.start_images is not None]
    start_activations = [part.start_activations for part in parts if part.start_activations is not None]
    recorded = len(start_images) == len(start_activations) == len(parts)
    return Preferred(
        images=torch.cat([part.images for part in parts])[order],
        activations=torch.cat([part.activations for part in parts])[order],
        curve=torch.cat(curves, 1)[:, order],
        **{name: ordered(name) for name in _LISTS},
        start_images=torch.cat(start_images)[order] if recorded else None,
        start_activations=torch.cat(start_activations)[order] if recorded else None,
    )
