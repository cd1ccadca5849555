"""Optional contents of a gallery, in addition to its rows and images.

`dgn.report.write_gallery` takes a `Trace` for each search (an image of the run), `UnitNotes` for each unit (an
objective) and a `Comparison` for the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

Box = tuple[int, int, int, int]
"""A rectangle of a picture in pixels: left, top, right, bottom; right and bottom are exclusive. The part outside the
picture is cut off."""


@dataclass(frozen=True)
class RealImage:
    """A real image shown with preferred ones: a top image of a unit, a nearest image, or one of a facet.

    Attributes:
        image: float (3, H, W) in image space.
        caption: a short description ("house, 17 of train").
        activation: the activation of the unit that it is shown for.
        distance: the distance from the preferred image.
        box: the receptive field of the unit in it.
        deconvolution: float (3, H, W), what in it excites the unit, backwards through the network; 0 is nothing.
        mask: float (H, W), 0 .. 1, the part that the unit responds to (the occlusion-discrepancy map of Zhou et al.
            2015, thresholded or not); the rest is shown dimmed.
    """

    image: Tensor
    caption: str = ""
    activation: float | None = None
    distance: float | None = None
    box: Box | None = None
    mask: Tensor | None = None
    deconvolution: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """Details of one search, in addition to its row.

    Attributes:
        curve: the activation before each step (its column of `Preferred.curve`).
        nearest: the nearest real images, one for each space, with the space as caption.
        animation: the path of the search's film, relative to the run folder (written by `save_animation`).
        box: the receptive field of a hidden unit in the preferred image, which is shown cropped and whole.
        start: float (3, h, w), what the search began at.
    """

    curve: Sequence[float] = ()
    nearest: Sequence[RealImage] = ()
    animation: str | None = None
    box: Box | None = None
    start: Tensor | None = None


@dataclass(frozen=True)
class PathCurves:
    """Path similarity over the layers of the target (docs/metrics.md).

    Attributes:
        layers: the layers, in order of depth.
        curves: (title of a method, its similarity in each layer; NaN where it is not known).
    """

    layers: Sequence[str]
    curves: Sequence[tuple[str, Sequence[float]]]


@dataclass(frozen=True)
class UnitNotes:
    """Details of one unit, for all methods.

    Attributes:
        real: the real images that excite it most, in descending order.
        facets: for each facet, named as in the rows' `facet`, its most typical images.
        facets_of: what these are: "real images", or "samples" of a prior.
    """

    real: Sequence[RealImage] = ()
    facets: Mapping[str, Sequence[RealImage]] = field(default_factory=dict)
    facets_of: str = "real images"


@dataclass(frozen=True)
class ImageMap:
    """Real images laid out in the plane by their codes, on which units' pages mark the images that excite them most.

    Attributes:
        name: the method's name.
        layer: the layer of the codes.
        images: float (N, 3, H, W) in image space.
        places: (N, 2), in [0, 1]; the second axis points up.
        tops: {a row's `objective`: the places (k, 2) of its top real images}.
    """

    name: str
    layer: str
    images: Tensor
    places: Tensor
    tops: Mapping[str, Tensor]


class Interval(Protocol):
    """A figure and its 95% interval; low and high are None if there is none (computed by `dgn.metrics`)."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Metric:
    """A column of a comparison.

    Attributes:
        name: its heading.
        better: which direction is better; "" for neither.
        percent: whether its values are fractions, shown in percent.
        about: a sentence on what it measures.
    """

    name: str
    better: Literal["higher", "lower", ""] = "higher"
    percent: bool = False
    about: str = ""


@dataclass(frozen=True)
class Contender:
    """A row of a comparison.

    Attributes:
        method: the method's name.
        prior: the prior's name; "" if the method has none.
        figures: {metric's name: figure}; metrics that were not measured are left out.
        start: where its searches started; "" if nothing was searched.
    """

    method: str
    prior: str = ""
    figures: Mapping[str, Interval] = field(default_factory=dict)
    start: str = ""


@dataclass(frozen=True)
class Comparison:
    """A comparison of methods.

    Attributes:
        metrics: the columns.
        contenders: the rows.
        reference: real images, scored by the same code.
        note: how the intervals were computed.
    """

    metrics: Sequence[Metric]
    contenders: Sequence[Contender]
    reference: Contender | None = None
    note: str = ""
