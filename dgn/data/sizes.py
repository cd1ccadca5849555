"""The sizes of images, and what is done with images of which size."""

from collections.abc import Sequence

import numpy as np

from dgn.data.dataset import Pictures
from dgn.data.packed import Stored
from dgn.data.size import written
from dgn.data.transforms import Transform, scaled_sides
from dgn.errors import UserError

_SAMPLED = 16


def describe_scaling(source: Pictures | Stored) -> str:
    """Returns one line on how the images of a source are scaled and cropped, by the sizes of a few of them."""
    places = np.random.default_rng(0).permutation(len(source))[:_SAMPLED].tolist()
    sizes = []
    for place in places:
        try:
            sizes.append(source.sides(place))
        except UserError:
            continue  # reported when it is read
    if not sizes:
        return f"None of {len(places)} pictures can be read"
    return f"Pictures of {_range(sizes)} px ({len(sizes)} looked at): {_scaling(sizes, source.transform)}"


def _range(sizes: Sequence[tuple[int, int]]) -> str:
    """The sizes as width x height: one, or the smallest and the largest."""
    ordered = sorted(set(sizes), key=lambda size: (min(size), max(size)))
    names = [f"{width} x {height}" for height, width in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(names))


def _scaling(sizes: Sequence[tuple[int, int]], transform: Transform) -> str:
    size, resize = min(transform.sides), transform.resize
    sides = [_relative_side(height, width, transform) for height, width in sizes]
    scaled = [scaled_sides(height, width, transform) for height, width in sizes]
    parts = []
    for count, what in (
        (sum(side > resize for side in sides), f"reduced to a short side of {resize}"),
        (sum(size <= side <= resize for side in sides), "not resized"),
        (sum(side < size for side in sides), f"enlarged to {written(transform.image_size)}"),
    ):
        if count:
            parts.append(what if count == len(sides) else f"{count} of them {what}")
    short = min(_relative_side(height, width, transform) for height, width in scaled)
    border = int(-(-(resize - short) // 2))
    crops = f"training crops of {written(transform.image_size)} px"
    if border > 0:
        crops += f", where pictures are smaller than {resize} from a reflected border of up to {border}"
    largest = max(_relative_side(height, width, transform) for height, width in scaled)
    whole = "whole pictures" if largest <= size else f"the middle {written(transform.image_size)} px"
    return f"{'; '.join(parts)}; {crops}; statistics and measures see {whole}"


def _relative_side(height: int, width: int, transform: Transform) -> float:
    """The short side, in pixels, of the part of an image that has the crop's shape."""
    tall, wide = transform.extent
    return min(height * transform.resize / tall, width * transform.resize / wide)
