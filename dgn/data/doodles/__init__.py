"""Doodles, the built-in data set: drawings of sixteen everyday things, with all factors of each picture known.

    doodle = draw(seed=0, split="train", index=7)     # doodle.image, .label, .facet, .factors
    data = Doodles("train", image_size=64)            # the same as a torch dataset

A picture depends only on (seed, split, index). It can be drawn at any size from 32 to 256 pixels; the size changes only
the resolution of the same picture. Every class has at least two facets: variants that look clearly different.
"""

from dataclasses import dataclass

import numpy as np
import torch

from dgn.data.doodles.paint import paint
from dgn.data.doodles.pen import Dice
from dgn.data.doodles.plan import THINGS, choose_facet, plan
from dgn.errors import UserError

CLASSES: tuple[str, ...] = tuple(THINGS)
FACETS: dict[str, tuple[str, ...]] = {name: tuple(thing.facets) for name, thing in THINGS.items()}
SPLITS = ("train", "val", "test")
SIZES = (32, 256)
VERSION = 2
"""The version of the pictures, increased when the drawing code changes, so that cached pictures are not reused."""


@dataclass(frozen=True)
class Doodle:
    """A picture with its label, facet and factors."""

    image: np.ndarray  # (size, size, 3) uint8 RGB
    label: int  # index into CLASSES
    facet: str  # one of FACETS[CLASSES[label]]
    factors: dict[str, float | str]


def draw(seed: int, split: str, index: int, size: int = 64) -> Doodle:
    """Returns the picture at `index` of a split, `size` x `size` pixels.

    The label is index % 16. Facet, pose, colours, light, background and texture are random, from a generator keyed by
    (seed, split, index).

    The `factors`, with lengths as fractions of the frame and angles in degrees:
        x, y            centre of the thing's bounding box
        scale           longer side of the box; width, height: its sides
        rotation        clockwise; mirrored: yes or no; stretch: width relative to the usual width
        truncation      fraction of the box's width or height outside the frame, at truncated_side
        colour, hue     main colour of the thing
        background      kind; background_colour; shadow: none, wall or ground; texture: of the thing's surface
        light_angle     direction of the light, 0 right, 90 above; light_strength, relief, brightness, warmth

    Raises:
        UserError: For an unknown split, a negative index or an unsupported size.
    """
    _check(split, size)
    if index < 0:
        raise UserError(f"doodle {index}: the index must be 0 or more")
    label, facet, dice = begin(seed, split, index)
    picture = plan(CLASSES[label], facet, dice)
    return Doodle(paint(picture, size), label, facet, picture.factors)


class Doodles(torch.utils.data.Dataset):
    """A dataset of `size` pictures of one split. Items are (image, label): (3, H, W) uint8 RGB and an int.

    Args:
        split: train, val or test; their pictures are different.
        image_size: height and width in pixels, 32 to 256.
        size: the number of pictures.
        seed: each seed gives a different set of pictures.
    """

    def __init__(self, split: str, image_size: int = 64, size: int = 20_000, seed: int = 0) -> None:
        _check(split, image_size)
        if size < 1:
            raise UserError(f"data size {size}: a set of doodles needs at least 1 picture")
        self.split, self.image_size, self.size, self.seed = split, image_size, size, seed
        self.classes = CLASSES

    @property
    def labels(self) -> torch.Tensor:
        """The label of every picture, int64 (size,)."""
        return torch.arange(self.size) % len(CLASSES)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        doodle = draw(self.seed, self.split, self._at(index), self.image_size)
        return torch.from_numpy(doodle.image).permute(2, 0, 1).contiguous(), doodle.label

    def describe(self, index: int) -> dict:
        """Returns label, class, facet and factors of a picture, without painting it."""
        label, facet, dice = begin(self.seed, self.split, self._at(index))
        factors = plan(CLASSES[label], facet, dice).factors
        return {"label": label, "class": CLASSES[label], "facet": facet, "factors": factors}

    def facets(self) -> list[str]:
        """Returns the facet of every picture, in order. Takes tens of microseconds per picture."""
        return [begin(self.seed, self.split, index)[1] for index in range(self.size)]

    def _at(self, index: int) -> int:
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} of {self.size} doodles")
        return int(index) % self.size


def begin(seed: int, split: str, index: int) -> tuple[int, str, Dice]:
    """Returns the label, the facet, and the dice for the rest of the picture, for `dgn.data.doodles.plan.plan`."""
    # Philox computes random numbers from (key, counter): every picture has its own part of its split's stream.
    key = np.array([seed % 2**64, SPLITS.index(split)], dtype=np.uint64)
    stretch = np.array([0, 0, index, 0], dtype=np.uint64)
    dice = Dice(np.random.Generator(np.random.Philox(key=key, counter=stretch)))
    label = index % len(CLASSES)
    return label, choose_facet(CLASSES[label], dice), dice


def _check(split: str, size: int) -> None:
    if split not in SPLITS:
        raise UserError(f"no split {split!r} of the doodles; splits: {', '.join(SPLITS)}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"doodles of {size} pixels: choose a size from {SIZES[0]} to {SIZES[1]}")
