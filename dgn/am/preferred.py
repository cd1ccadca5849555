"""What the searches of activation maximization give: preferred images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.outcomes import Outcome
from dgn.am.setting import resized
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
    start_images: Tensor | None = None
    start_activations: Tensor | None = None

    def __post_init__(self) -> None:
        self.outcomes = self.outcomes or [Outcome()] * len(self.objectives)

    @property
    def found(self) -> list[bool]:
        """Whether each image is a result: False if its search stayed silent or met values that are not finite."""
        return [outcome.found for outcome in self.outcomes]

    def starts(self) -> "Preferred | None":
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

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every image as a PNG named by its objective and seed; returns the paths."""
        paths = [Path(folder) / image_name(str(o), s) for o, s in zip(self.objectives, self.seeds, strict=True)]
        for image, path in zip(self.images, paths, strict=True):
            save_png(image, path)
        return paths


def joined(parts: Sequence[Preferred]) -> Preferred:
    """Returns the images of several batches of searches as one set, in order."""
    starts = [part.start_images for part in parts if part.start_images is not None]
    values = [part.start_activations for part in parts if part.start_activations is not None]
    recorded = len(starts) == len(values) == len(parts)
    return Preferred(
        torch.cat([part.images for part in parts]),
        torch.cat([part.activations for part in parts]),
        torch.cat([part.curve for part in parts], 1),
        [objective for part in parts for objective in part.objectives],
        [seed for part in parts for seed in part.seeds],
        [outcome for part in parts for outcome in part.outcomes],
        torch.cat(starts) if recorded else None,
        torch.cat(values) if recorded else None,
    )
