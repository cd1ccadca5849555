"""A study: an experiment of a paper with its claim, repeated for several seeds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dgn.am.setting import resized
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement


@dataclass(frozen=True)
class Figure:
    """Pictures in rows and columns.

    Attributes:
        name: of its file.
        images: float (rows * columns, 3, H, W) in image space, row by row.
        rows: titles of the rows.
        columns: titles of the columns.
        caption: what it shows.
        moves: whether the columns are the frames of an animation too.
    """

    name: str
    images: Tensor
    rows: Sequence[str]
    columns: Sequence[str]
    caption: str
    moves: bool = False


@dataclass(frozen=True)
class Measurement:
    """What a study measured with one seed.

    Attributes:
        numbers: {"ROW/FIGURE": value}; the page shows them as a table of rows and figures.
        figures: pictures; those of the first seed are shown.
        curves: {name of a line: its values}, shown as a chart of their means over seeds.
        axis: what is on the horizontal axis of the chart.
    """

    numbers: dict[str, float]
    figures: Sequence[Figure] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    axis: str = ""


class Numbers:
    """The numbers of all seeds: `numbers("fc6/repetition")` is an array (seeds,), NaN where it was not measured."""

    def __init__(self, seeds: Sequence[Mapping[str, float]]) -> None:
        self.seeds = list(seeds)

    def __call__(self, name: str) -> np.ndarray:
        return np.array([float(numbers.get(name, np.nan)) for numbers in self.seeds])

    def mean(self, rows: Sequence[str], figure: str) -> np.ndarray:
        """Returns the mean of a figure over rows, for each seed."""
        return np.stack([self(f"{row}/{figure}") for row in rows]).mean(0)

    @property
    def names(self) -> list[str]:
        """The names of all numbers, in order."""
        return list(dict.fromkeys(name for numbers in self.seeds for name in numbers))

    @property
    def rows(self) -> list[str]:
        """The rows of the table."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self.names))

    @property
    def figures(self) -> list[str]:
        """The columns of the table."""
        return list(dict.fromkeys(name.rpartition("/")[2] for name in self.names))


@dataclass(frozen=True, kw_only=True)
class Study(ABC):
    """A study. Its fields are the keys of its file in conf/study.

    Attributes:
        title: the title of its page.
        source: where the papers have the experiment.
        claim: the claim that it tests.
        measured: what is measured, in a few sentences.
        varies: what a seed changes.
        shows_target: whether it looks at the network of `target=`; some look at networks that they train themselves.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    claim: ClassVar[str]
    measured: ClassVar[str]
    varies: ClassVar[str] = "the noise in which searches start"
    shows_target: ClassVar[bool] = True

    @abstractmethod
    def measure(self, lab: Lab, seed: int) -> Measurement:
        """Trains what it needs, visualizes and measures, with one seed."""

    @abstractmethod
    def statements(self, numbers: Numbers) -> list[Statement]:
        """Returns the parts of the claim, from the numbers of all seeds: the rule of the verdict."""


def side_by_side(name: str, columns: Mapping[str, Tensor], rows: Sequence[str], caption: str) -> Figure:
    """Returns a figure of columns of images, each (rows, 3, h, w), all resized to the largest."""
    size = max((images.shape[-2], images.shape[-1]) for images in columns.values())
    sized = [resized(images.float(), size) for images in columns.values()]
    return Figure(name, torch.stack(sized, 1).flatten(0, 1), list(rows), list(columns), caption)
