"""The setting of a search: the networks, image size and real images that the parts of a method may use."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.starts import Starts
from dgn.data.channels import in_words
from dgn.data.images import as_images
from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.code_prior import CodePrior
from dgn.runs.programs import command


@dataclass(frozen=True)
class Setting:
    """What the parts of a method may use.

    Attributes:
        target: Phi, the network whose units are maximized.
        prior: for methods that search its codes.
        canvas_size: height and width of the images of pixel methods, or one number for both; None: the target's
            input size.
        images: maps a count to batches (N, C, h, w) of at most that many real images in image space, for methods
            that measure them.
        begin: the start: "noise", "sample", or images (M, 3, h, w) or anything `as_images` accepts, where seed s
            starts from image s modulo M; or `Starts`, one set for each objective.
        code_prior: loads the prior over codes.
        image_channels: number of channels of the images of pixel methods; None: the prior's, else the target's.
    """

    target: FeatureNet
    prior: Prior | None = None
    canvas_size: int | tuple[int, int] | None = None
    images: Callable[[int], Iterator[Tensor]] | None = None
    begin: str | Tensor | Starts = "noise"
    code_prior: Callable[[], CodePrior] | None = None
    image_channels: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.begin, str) and self.begin not in ("noise", "sample"):
            raise UserError(f"start={self.begin!r}: give noise, sample, or the path of an image")
        if not isinstance(self.begin, str | Starts):
            object.__setattr__(self, "begin", as_images(self.begin))
        sides = self.size
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UserError(f"canvas_size={self.canvas_size}: give one side in pixels, or [height, width]")

    @property
    def device(self) -> torch.device:
        """The target's device."""
        return self.target.device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images of pixel methods."""
        if isinstance(self.canvas_size, int):
            return self.canvas_size, self.canvas_size
        sides: Any = self.canvas_size or self.target.input_space.size or (224, 224)  # a config's are a list
        return tuple(sides)

    @property
    def channels(self) -> int:
        """Number of channels of the images of pixel methods."""
        if self.image_channels is not None:
            return self.image_channels
        if self.prior is not None:
            return self.prior.image_shape[0]
        return self.target.input_space.image_channels

    def checked(self, images: Tensor) -> Tensor:
        """Returns images (N, C, h, w) in image space from any common form, as starts of pixel methods.

        Raises:
            UserError: If they have other channels than the images of the search, and are not grey.
        """
        images = as_images(images)
        if images.shape[1] not in (1, self.channels):
            raise UserError(
                f"images of {in_words(images.shape[1])} are no start of a search in images of "
                f"{in_words(self.channels)}; give images of the same channels, or of one"
            )
        return images

    def codes(self) -> Prior:
        """Returns the prior. Raises UserError if there is none."""
        if self.prior is None:
            raise UserError(
                f"this method searches the codes of a prior, and there is none: make one with `{command('train')}`, "
                "name one with prior=FILE_OR_FOLDER, or take a method that needs none, e.g. method=olah2017"
            )
        return self.prior

    def real_images(self, count: int, why: str, size: tuple[int, int] | None = None) -> Iterator[Tensor]:
        """Yields batches of at most `count` real images, resized to `size`.

        Args:
            count: the number of images.
            why: what is measured from them, for the error message.
            size: (height, width); None: unchanged.

        Raises:
            UserError: if no real images are known.
        """
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
        """Returns the start images that `begin` defines, one for each seed and objective, (N, C, *size).

        They are the given images, or for "sample" real images drawn by the seeds; None for "noise", for which each
        method has its own start.
        """
        if isinstance(self.begin, Starts):
            return moved(resized(self.begin.select(self.begin.images, seeds, objectives), size), self.device)
        if isinstance(self.begin, Tensor):
            images = self.begin[[s % len(self.begin) for s in seeds]]
            return moved(resized(images, size), self.device)
        if self.begin == "noise":
            return None
        pool = torch.cat(list(self.real_images(500, "start=sample of a method without codes", size)))
        drawn = [int(torch.randint(len(pool), (), generator=torch.Generator().manual_seed(s))) for s in seeds]
        return pool[drawn].to(self.device)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes images (N, C, h, w) to (N, C, *size), bilinear with antialiasing, in [0, 1]."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
