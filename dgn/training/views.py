"""What C sees of the images of a step: all of them, moved by some pixels, or a part of them enlarged.

C answers to gratings of some frequencies at some places. G can raise the energy of C's features by painting them, and
D, which looks through C too, does not mind. If both images of a pair are moved, places change from step to step; if a
part is enlarged, frequencies do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dgn.errors import UserError


@dataclass(frozen=True)
class View:
    """One view of images: moved cyclically by rows and columns, then a part of them enlarged to their size.

    Attributes:
        rows: The rows by which images are moved.
        columns: The columns.
        side: The height and width of the part, relative to those of the image, in (0, 1].
        top: Where the part begins: 0 at the top, 1 as far down as it can lie.
        left: The same for columns.
    """

    rows: int = 0
    columns: int = 0
    side: float = 1.0
    top: float = 0.0
    left: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the view of images (N, C, H, W), of the same shape. Differentiable."""
        if self.rows or self.columns:
            images = images.roll((self.rows, self.columns), (2, 3))
        if self.side == 1:
            return images
        height, width = images.shape[2:]
        part = max(1, round(self.side * height)), max(1, round(self.side * width))
        top, left = round(self.top * (height - part[0])), round(self.left * (width - part[1]))
        part_of_images = images[..., top : top + part[0], left : left + part[1]]
        return interpolate(part_of_images, size=(height, width), mode="bilinear", align_corners=False)


WHOLE = View()
"""The images as they are."""


@dataclass(frozen=True)
class Views:
    """Which views are drawn.

    Attributes:
        shift: The most pixels by which images are moved.
        zoom: The largest factor by which a part is enlarged: its side is drawn from [1 / zoom, 1] of the image's.

    Raises:
        UserError: If a value is out of its range.
    """

    shift: int = 0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.shift, int) or isinstance(self.shift, bool) or self.shift < 0:
            raise UserError(f"comparator_shift={self.shift}: give a number of pixels, at least 0")
        if not isinstance(self.zoom, int | float) or isinstance(self.zoom, bool) or not 1 <= self.zoom < float("inf"):
            raise UserError(f"comparator_zoom={self.zoom}: give a factor of at least 1 (1: no zoom), such as 1.6")

    @property
    def used(self) -> bool:
        """Whether C ever sees other images than E does."""
        return self.shift > 0 or self.zoom > 1

    def draw(self) -> View:
        """Draws the view of a step, from torch's generator: all processes draw the same."""
        rows, columns = torch.randint(0, self.shift + 1, (2,)).tolist() if self.shift else (0, 0)
        if self.zoom == 1:
            return View(rows, columns)
        side, top, left = torch.rand(3).tolist()
        least = 1 / self.zoom
        return View(rows, columns, least + (1 - least) * side, top, left)
