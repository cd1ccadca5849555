"""Where a search takes place: what the parts of a method may build on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.starts import Starts
from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.code_prior import CodePrior
from dgn.runs.programs import command


@dataclass(frozen=True)
class Setting:
    """target: Phi. prior: for methods that search its codes. image_size: height and width of what pixel methods
    paint, or one number for both; None: the target's own input. images: count -> batches (N, 3, h, w) in image
    space of at most so many real images, for methods that measure them. begin: "noise", "sample", or images
    (M, 3, h, w), or what `as_images` takes for them, that the searches start from, seed s from image s modulo M; or
    each objective's own. code_prior: opens the prior over codes."""

    target: FeatureNet
    prior: Prior | None = None
    image_size: int | tuple[int, int] | None = None
    images: Callable[[int], Iterator[Tensor]] | None = None
    begin: str | Tensor | Starts = "noise"
    code_prior: Callable[[], CodePrior] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.begin, str) and self.begin not in ("noise", "sample"):
            raise UserError(f"start={self.begin!r}: give noise, sample, or the path of an image")
        if not isinstance(self.begin, str | Starts):
            object.__setattr__(self, "begin", as_images(self.begin))
        sides = self.size
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UserError(f"image_size={self.image_size}: give one side in pixels, or [height, width]")

    @property
    def device(self) -> torch.device:
        """The target's."""
        return self.target.device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what pixel methods paint."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        sides: Any = self.image_size or self.target.input_space.size or (224, 224)  # a config's are a list
        return tuple(sides)

    def codes(self) -> Prior:
        """The prior. Raises UserError where there is none."""
        if self.prior is None:
            raise UserError(
                f"this method searches the codes of a prior, and there is none: make one with `{command('train')}`, "
                "name one with prior=FILE_OR_FOLDER, or take a method that needs none, e.g. method=olah2017"
            )
        return self.prior

    def real_images(self, count: int, why: str, size: tuple[int, int] | None = None) -> Iterator[Tensor]:
        """Batches of real images, resized to `size`. Raises UserError, saying why they are needed, where none are
        known."""
        if self.images is None:
            raise UserError(
                f"{why} is measured from real images, and none are known here: name some with data=image_folder "
                "data.root=FOLDER (or data=doodles), or give a prior that knows its own"
            )
        for batch in self.images(count):
            yield batch if size is None else resized(batch, size)

    def first_images(
        self, seeds: Sequence[int], size: tuple[int, int], objectives: Sequence[Objective] = ()
    ) -> Tensor | None:
        """What `begin` says of where images start, one for each seed (and its objective), (N, 3, *size): a given
        image, or for "sample" a real image drawn by the seed; None for "noise", which is the method's own start."""
        if isinstance(self.begin, Starts):
            return resized(self.begin.of(self.begin.images, seeds, objectives), size).to(self.device)
        if isinstance(self.begin, Tensor):
            images = self.begin[[s % len(self.begin) for s in seeds]]
            return resized(images, size).to(self.device)
        if self.begin == "noise":
            return None
        pool = torch.cat(list(self.real_images(500, "start=sample of a method without codes", size)))
        drawn = [int(torch.randint(len(pool), (), generator=torch.Generator().manual_seed(s))) for s in seeds]
        return pool[drawn].to(self.device)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 3, h, w) -> (N, 3, *size), bilinear with antialiasing, in [0, 1]."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
