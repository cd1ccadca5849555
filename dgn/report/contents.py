"""What a gallery can show beyond its rows and images. All of it is optional: what is not given is not on the page.

For each search (an image of the run) a `Trace`, for each unit (an objective) a `UnitNotes`, for the run a
`Comparison`. `dgn.report.write_gallery` takes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

Box = tuple[int, int, int, int]
"""A rectangle of a picture in pixels: left, top, right, bottom; right and bottom are outside of it. What lies beyond
the picture is cut off."""


@dataclass(frozen=True)
class RealImage:
    """A real image beside preferred ones: one that excites a unit most, the nearest one, one of a facet.

    image: float (3, H, W) in image space. caption: what it is, in a few words ("house, 17 of train").
    activation: of the unit that it is shown for. distance: from the picture it is shown beside.
    box: the receptive field of the unit in it. mask: float (H, W), 0 .. 1, what of it the unit responds to (the
    occlusion-discrepancy map of Zhou et al. 2015, thresholded or not); what it leaves out is shown dimmed.
    """

    image: Tensor
    caption: str = ""
    activation: float | None = None
    distance: float | None = None
    box: Box | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """Of one search, beyond its row.

    curve: the activation before each step (what `Preferred.curve` has in its column).
    nearest: the nearest real images, one for each space they were looked for in, the space as caption.
    animation: the path, from the run folder, of the search as a film (`save_animation` writes it).
    box: the receptive field of a hidden unit in the preferred image; shown cropped to it as well as whole.
    """

    curve: Sequence[float] = ()
    nearest: Sequence[RealImage] = ()
    animation: str | None = None
    box: Box | None = None


@dataclass(frozen=True)
class UnitNotes:
    """Of one unit, whatever the method.

    real: the real images that excite it most, the most exciting first.
    facets: for each facet, named as rows' `facet` names it, its nearest real images.
    """

    real: Sequence[RealImage] = ()
    facets: Mapping[str, Sequence[RealImage]] = field(default_factory=dict)


class Interval(Protocol):
    """A figure and its 95% interval; low and high are None where there is none (`dgn.metrics` makes them)."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Metric:
    """A column of a comparison. name: its heading. better: which way is better; "" where neither is.
    percent: its values are shares, shown in percent. about: a sentence on what it measures."""

    name: str
    better: Literal["higher", "lower", ""] = "higher"
    percent: bool = False
    about: str = ""


@dataclass(frozen=True)
class Contender:
    """A row of a comparison: a method through a prior ("" where it has none), and its figure in each metric, by the
    metric's name. What was not measured is left out."""

    method: str
    prior: str = ""
    figures: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Method against method. reference: real images, scored by the same code. note: how the intervals were made."""

    metrics: Sequence[Metric]
    contenders: Sequence[Contender]
    reference: Contender | None = None
    note: str = ""
