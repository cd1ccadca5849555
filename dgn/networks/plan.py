"""Plans: an architecture in one line, written like the tables of the paper.

    fc 4096, fc 4096, fc 4096, reshape 256x4x4, up 256, conv 512, up 256, conv 256, up 128, conv 128, up 64, up 32, up 3

fc N          fully connected layer to N units (the input is flattened)
reshape CxHxW a vector as a map
grid HxW      tokens (H*W + k, D) as a map: patches at their positions, the k other tokens (class token) as channels
              that are constant over the map
resize HxW    bilinear resizing, for sizes that no convolution gives
conv C        convolution to C channels, 3x3, stride 1, padding 1; a suffix such as `k2 s2 p0` changes these
up C          upconvolution to C channels: transposed convolution, 4x4, stride 2, padding 1, no bias: twice the size
double C      nearest-neighbour doubling, then a 3x3 convolution to C channels, no bias: like `up`, without
              checkerboard artifacts
smooth C      bilinear doubling, then a 3x3 convolution to C channels, no bias: without the higher frequencies of
              repeated pixels
average       mean over the map
dropout P     dropout with probability P
tanh, sigmoid the activation function
"""

import math
import re
from dataclasses import dataclass

from dgn.errors import UserError
from dgn.networks.inputs import LARGEST_SIDE


@dataclass(frozen=True)
class PlanStep:
    """One step of a plan.

    Attributes:
        kind: The step's first word.
        size: The numbers after it.
        kernel, stride, padding: Geometry of `conv`, in pixels.
    """

    kind: str
    size: tuple[float, ...] = ()
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def has_weights(self) -> bool:
        return self.kind in ("fc", "conv") or self.doubles

    @property
    def doubles(self) -> bool:
        """Whether the step doubles the size of a map."""
        return self.kind in ("up", "double", "smooth")

    @property
    def width(self) -> int:
        """Number of output units or channels of a step with weights."""
        return int(self.size[0])


_STEP = re.compile(
    r"(?P<kind>[a-z]+)(?:\s+(?P<size>[\d.]+(?:x\d+)*))?(?P<geometry>(?:\s+[ksp]\d+)*)\s*$",
)
_SIZES = {
    "fc": 1,
    "reshape": 3,
    "grid": 2,
    "resize": 2,
    "conv": 1,
    "up": 1,
    "double": 1,
    "smooth": 1,
    "average": 0,
    "dropout": 1,
}
_SIZES |= {"average": 0, "dropout": 1, "tanh": 0, "sigmoid": 0}


def parse_plan(plan: str) -> tuple[PlanStep, ...]:
    """Parses a plan into steps. Raises UserError naming a step that cannot be read."""
    steps = []
    for text in plan.split(","):
        match = _STEP.match(text.strip())
        kind = match["kind"] if match else ""
        size = tuple(float(n) for n in match["size"].split("x")) if match and match["size"] else ()
        if not match or _SIZES.get(kind) != len(size) or (match["geometry"] and kind != "conv"):
            raise UserError(
                f"plan step {text.strip()!r} cannot be read; steps are `fc N`, `reshape CxHxW`, `grid HxW`, "
                "`resize HxW`, `conv C [kK] [sS] [pP]`, `up C`, `double C`, `smooth C`, `average`, `dropout P`, "
                "`tanh`, `sigmoid`"
            )
        given = {word[0]: int(word[1:]) for word in match["geometry"].split()}
        kernel = given.get("k", 3)
        steps.append(PlanStep(kind, size, kernel, given.get("s", 1), given.get("p", kernel // 2)))
    return tuple(steps)


def shape_after(step: PlanStep, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The output shape (without batch) of a step for input `shape`. Raises UserError if the step does not fit it."""
    kind = step.kind
    if kind in ("tanh", "sigmoid", "dropout"):
        return shape
    if kind == "fc":
        return (step.width,)
    if kind == "reshape":
        new = tuple(int(n) for n in step.size)
        _check(math.prod(new) == math.prod(shape), step, shape)
        return new
    if kind == "grid":
        height, width = (int(n) for n in step.size)
        _check(len(shape) == 2 and shape[0] >= height * width, step, shape)
        return (shape[1] * (1 + shape[0] - height * width), height, width)
    _check(len(shape) == 3, step, shape)
    channels, height, width = shape
    if kind == "resize":
        _check(min(step.size) > 0 and max(step.size) <= LARGEST_SIDE, step, shape)
        return (channels, int(step.size[0]), int(step.size[1]))
    if kind == "average":
        return (channels,)
    if step.doubles:
        _check(2 * max(height, width) <= LARGEST_SIDE, step, shape)
        return (step.width, 2 * height, 2 * width)
    sides = tuple((side + 2 * step.padding - step.kernel) // step.stride + 1 for side in (height, width))
    _check(min(sides) > 0 and max(sides) <= LARGEST_SIDE, step, shape)
    return (step.width, *sides)


def scaled(published: int, width: float) -> int:
    """Number of channels or units of an automatic plan: `published` times `width`, a multiple of 8 and at least 8.

    Raises:
        UserError: If `width` is not a positive number.
    """
    if not 0 < width < math.inf:
        raise UserError(f"width={width}: give a number above 0; 1 is the published number of channels and units")
    return max(8, round(published * width / 8) * 8)


def _check(fits: bool, step: PlanStep, shape: tuple[int, ...]) -> None:
    if not fits:
        size = "x".join(f"{n:g}" for n in step.size)
        raise UserError(f"plan step `{step.kind} {size}` does not fit its input: {'x'.join(map(str, shape))}")
