"""What the searches of activation maximization give: preferred images."""

from dataclasses import dataclass, field
from pathlib import Path

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
    """

    images: Tensor
    activations: Tensor
    curve: Tensor
    objectives: list[Objective]
    seeds: list[int]
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outcomes = self.outcomes or [Outcome()] * len(self.objectives)

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
