"""Most of a training at half the side (Karras et al. 2018, "Progressive growing of GANs").

A step at half the side compares and judges images of half the side: the losses, C and D see a quarter of the pixels.
Codes always come from the whole image. G is the same network in both kinds of steps (`Generator.forward`), and so are C
and D, whose convolutions take any side. So the change to the full side needs no new weights. Instead of fading new
layers in, full steps become more and more frequent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.size import ImageSize, image_size, sides, written
from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.foreign_code import format_error


@dataclass(frozen=True)
class Progressive:
    """Which steps of a run are at half the side: a pure function of the step, so that a resumed run goes on alike.

    Args:
        until: The fraction of the run that is at half the side. 0: no step is.
        ramp: The fraction of the run over which the share of full steps then rises to 1.

    Raises:
        UserError: If a value is not a fraction, or both together leave no step at the full side.
    """

    until: float = 0.0
    ramp: float = 0.0

    def __post_init__(self) -> None:
        for key, value in (("until", self.until), ("ramp", self.ramp)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise UserError(f"progressive.{key}={value} must be a fraction of the run, at least 0 and below 1")
        if self.until + self.ramp >= 1:
            raise UserError(
                f"progressive.until={self.until} and progressive.ramp={self.ramp} leave no steps at the full side; "
                "together they must be below 1"
            )

    @property
    def used(self) -> bool:
        return self.until > 0

    def half(self, step: int, max_steps: int) -> bool:
        """Whether a step of a run of max_steps is at half the side. Without a length (max_steps < 1), none is.

        In the ramp, the number of full steps so far is the integral of their share, rounded down.
        """
        if not self.used or max_steps < 1:
            return False
        since, length = step - self.until * max_steps, self.ramp * max_steps
        if since < 0:
            return True
        if since >= length:
            return False
        return _full_steps(since + 1, length) == _full_steps(since, length)

    def words(self, size: ImageSize, max_steps: int) -> str:
        """Describes the course of a run with images of this size in pixels, for the log."""
        first, last = (round(part * max_steps) for part in (self.until, self.until + self.ramp))
        between = f", both sides in turn until step {last}" if last > first else ""
        half = [side // 2 for side in sides(size)]
        return (
            f"progressive: losses, C and D at {written(image_size(half))} px until step {first}{between}, then at "
            f"{written(size)} px"
        )


def halved(images: Tensor) -> Tensor:
    """Images (N, C, H, W) -> (N, C, H / 2, W / 2): the means of 2x2 pixels."""
    return F.avg_pool2d(images, 2)


def half_factors(
    net: FeatureNet,
    layers: Sequence[str],
    image_shape: tuple[int, int, int],
    discriminator: Critic | None = None,
    code: Tensor | None = None,
) -> dict[str, float]:
    """Returns by how much the squared error of layers of C counts at half the side, so that positions count alike.

    A map at half the side has about a quarter of the positions, and the error is a sum over them.

    Args:
        net: C.
        layers: The layers of the feature loss.
        image_shape: (channels, height, width) of the images.
        discriminator: D, which is tried too.
        code: A code (*code_shape), for D.

    Raises:
        UserError: If the images have no half, or C or D do not take images of half the side.
    """
    layers = list(dict.fromkeys([*layers, *(discriminator.layers if discriminator else ())]))
    off = "give progressive.until=0, which trains at the full side from the start"
    if any(side % 2 for side in image_shape[1:]):
        size = written(image_size(image_shape[1:]))
        raise UserError(f"progressive.until: images of {size} px cannot be halved; {off}")
    images = torch.rand(2, *image_shape, generator=torch.Generator().manual_seed(1)).to(net.device)
    refusal = f"progressive.until: {net.name} does not take images of half the side"
    with torch.no_grad():
        full = net(images, layers)
        try:
            half = net(halved(images), layers, half=True)
        except Exception as error:  # user code can raise anything
            raise UserError(f"{refusal}: {format_error(error)}; {off}") from error
    for name in full:
        a, b = full[name], half[name]
        if a.dim() != b.dim() or len(b) != 2 or (a.dim() == 4 and a.shape[1] != b.shape[1]) or not b.isfinite().all():
            shapes = ("x".join(map(str, x.shape[1:])) for x in (a, b))
            raise UserError("{}: {} is {}, and {} at half the side; {}".format(refusal, name, *shapes, off))
    if discriminator is not None and code is not None:
        _try(discriminator, halved(images), half, code, off)
    return {name: full[name].numel() / half[name].numel() for name in full}


def _try(discriminator: Critic, images: Tensor, features: Mapping[str, Tensor], code: Tensor, off: str) -> None:
    """Lets D judge two images of half the side with their features."""
    seen = [x.to(code.device) for x in discriminator.seen(images, features)]
    mode = discriminator.training
    try:
        with torch.no_grad():
            discriminator.eval().judge(seen, seen, torch.stack([code, code]))
    except RuntimeError as error:
        raise UserError(f"progressive.until: D does not take images of half the side: {error}; {off}") from error
    finally:
        discriminator.train(mode)


def _full_steps(since: float, length: float) -> int:
    """The integral of the share of full steps, which rises from 0 to 1 over `length`, until `since`."""
    return int(since * since / (2 * length))
