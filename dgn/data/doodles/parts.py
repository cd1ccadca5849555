"""Where things and their parts are in doodles: masks, named by class and part.

Parts are the whole thing and its upper and lower half (of a tree, crown and trunk; of a boat, sail and hull).
"""

import numpy as np
import torch
from torch import Tensor

from dgn.data.doodles import CLASSES, Doodles, begin
from dgn.data.doodles.paint import silhouette
from dgn.data.doodles.plan import plan

PARTS = ("whole", "upper half", "lower half")
CONCEPTS: tuple[str, ...] = tuple(f"{name}, {part}" for name in CLASSES for part in PARTS)
"""Class and part of each mask of `part_masks`, class by class."""


def part_masks(doodles: Doodles, index: int, size: int) -> tuple[int, Tensor]:
    """Returns the label of a doodle and the masks of its parts, bool (parts, size, size).

    Args:
        doodles: the doodles.
        index: of the picture.
        size: of the masks; the smallest that doodles have, or larger.
    """
    label, facet, dice = begin(doodles.seed, doodles.split, index)
    picture = plan(CLASSES[label], facet, dice)
    whole = torch.from_numpy(silhouette(picture, size) > 0.5)
    _, top, _, bottom = picture.box
    rows = torch.from_numpy((np.arange(size) + 0.5) / size)
    upper = (rows < (top + bottom) / 2)[:, None]
    return label, torch.stack([whole, whole & upper, whole & ~upper])
