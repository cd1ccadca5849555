"""The embedded picture world: sixteen everyday things, drawn, with everything about each picture known.

    doodle = draw(seed=0, split="train", index=7)     # doodle.image, .label, .facet, .factors
    data = Doodles("train", image_size=64)            # the same as a torch dataset

A picture is a pure function of (seed, split, index), at any size from 32 to 256 pixels: a size only decides how
finely the same picture is sampled. Every class has at least two facets, kinds that look clearly different.
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
"""Of the pictures. Raised whenever they are drawn differently, so that what was drawn before is not used."""


@dataclass(frozen=True)
class Doodle:
    """A picture and what is true of it."""

    image: np.ndarray  # (size, size, 3) uint8 RGB
    label: int  # index into CLASSES
    facet: str  # one of FACETS[CLASSES[label]]
    factors: dict[str, float | str]


def draw(seed: int, split: str, index: int, size: int = 64) -> Doodle:
    """The picture at `index` of a split, `size` pixels square.

    Labels go round: index % 16. Facet, pose, colours, light, background and texture are random, from a
    generator keyed by (seed, split, index).

    `factors`, lengths as fractions of the frame, angles in degrees:
        x, y            centre of the thing's bounding box
        scale           longer side of the box; width, height its sides
        rotation        clockwise lean; mirrored: yes or no; stretch: width over its usual width
        truncation      share of the box's width or height beyond the frame, on truncated_side
        colour, hue     that one would call the thing by
        background      kind; background_colour; shadow: none, wall or ground; texture of the thing's surface
        light_angle     where light comes from, 0 right, 90 above; light_strength, relief, brightness, warmth

    Raises:
        UserError: for a split, an index or a size that there is not.
    """
    _check(split, size)
    if index < 0:
        raise UserError(f"doodle {index}: an index is 0 or more")
    label, facet, dice = _begin(seed, split, index)
    what = plan(CLASSES[label], facet, dice)
    return Doodle(paint(what, size), label, facet, what.factors)


class Doodles(torch.utils.data.Dataset):
    """`size` pictures of one split as (image, label): (3, H, W) uint8 RGB and an int.

    Args:
        split: train, val or test; no picture is in two of them.
        image_size: side in pixels, 32 to 256.
        size: number of pictures.
        seed: another seed is another set of pictures.
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
        """Label, class, facet and factors of a picture, without painting it."""
        label, facet, dice = _begin(self.seed, self.split, self._at(index))
        factors = plan(CLASSES[label], facet, dice).factors
        return {"label": label, "class": CLASSES[label], "facet": facet, "factors": factors}

    def facets(self) -> list[str]:
        """The facet of every picture, in order; tens of microseconds a picture."""
        return [_begin(self.seed, self.split, index)[1] for index in range(self.size)]

    def _at(self, index: int) -> int:
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} of {self.size} doodles")
        return int(index) % self.size


def _begin(seed: int, split: str, index: int) -> tuple[int, str, Dice]:
    """Label and facet, and the dice that the rest of the picture is drawn with."""
    # Philox turns (key, counter) into random numbers: every picture has its own stretch of its split's stream
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
