"""A run's images as a contact sheet and as a comparison figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.data.display import as_rgb
from dgn.networks.dictionaries.name import abbreviated
from dgn.report.comparison_figure import save_comparison_figure
from dgn.report.contact_sheet import save_contact_sheet
from dgn.report.contents import UnitNotes
from dgn.report.units import Column, UnitResults, describe_start

IN_FIGURE = (16, 12)  # units of a comparison figure, and pictures in a row, that fit on a printed page


def write_sheet(path: Path, units: Sequence[UnitResults], columns: Sequence[Column], images: Tensor) -> None:
    """Writes all images in the order of their units; units with the same methods and priors fill one row each."""
    groups = [(unit, i, shots) for unit in units for i in range(len(columns)) if (shots := unit.shots_in(i))]
    most = max(len(shots) for _, _, shots in groups)
    places = [[shot.place for shot in shots] for _, _, shots in groups]
    title_parts = [
        (u.title, abbreviated(u.objective), columns[i].title if len(columns) > 1 else "") for u, i, _ in groups
    ]
    titles = [" · ".join(dict.fromkeys(filter(None, parts))) for parts in title_parts]
    # What the prior draws is no real image: it needs a caption as little as noise does.
    every = [shot for unit in units for shot in unit.shots]
    starts = {shot.place: "" if shot.row.start == "sample" else describe_start(shot.row.start) for shot in every}
    captions = [starts[place] for group in places for place in [*group, *[group[-1]] * (most - len(group))]]
    aligned = len(columns) if len(groups) == len(units) * len(columns) else 1
    save_contact_sheet(
        path, _laid_out(images, places, most), titles, most, captions if any(captions) else None, together=aligned
    )


def write_figure(
    path: Path, units: Sequence[UnitResults], columns: Sequence[Column], images: Tensor, notes: Mapping[str, UnitNotes]
) -> None:
    """Writes the first units' images by each method and prior, preceded by the real images that excite them most."""
    units = units[: IN_FIGURE[0]]
    shown = [i for i in range(len(columns)) if any(unit.shots_in(i) for unit in units)]
    images = as_rgb(images)
    table = [[[images[shot.place] for shot in unit.shots_in(i)] for i in shown] for unit in units]
    titles = [columns[i].title for i in shown]
    real = [[as_rgb(image.image[None])[0] for image in notes.get(unit.objective, UnitNotes()).real] for unit in units]
    if any(real):
        table = [[top_images, *cells] for top_images, cells in zip(real, table, strict=True)]
        titles = ["real images", *titles]
    most = max(len(cell) for cells in table for cell in cells[-len(shown) :])
    per_cell = min(most, max(1, IN_FIGURE[1] // len(titles)))
    white = torch.ones(3, *images.shape[-2:])
    cells = [(cell[:per_cell] + [white] * per_cell)[:per_cell] for line in table for cell in line]
    laid_out = of_one_size([image for cell in cells for image in cell])
    save_comparison_figure(path, laid_out, [unit.title for unit in units], titles, per_cell)


def _laid_out(images: Tensor, places: Sequence[Sequence[int]], most: int) -> Tensor:
    """Returns the images at the given places, `most` per group, padded with white images."""
    flat_places = [place for group in places for place in group]
    if flat_places == list(range(len(places) * most)):
        return images[: len(flat_places)]
    sheet = images.new_ones(len(places) * most, *images.shape[1:])
    at = [number * most + i for number, group in enumerate(places) for i in range(len(group))]
    sheet[torch.tensor(at)] = images[torch.tensor(flat_places)]
    return sheet


def of_one_size(images: Tensor | Sequence[Tensor]) -> Tensor:
    """Returns images for a sheet, resized to the largest one's size."""
    if isinstance(images, Tensor):
        return images
    size = tuple(max(image.shape[axis] for image in images) for axis in (-2, -1))
    return torch.stack(
        [
            image if image.shape[-2:] == size else F.interpolate(image[None].float(), size, mode="bicubic")[0]
            for image in (image.detach().float().cpu() for image in images)
        ]
    )
