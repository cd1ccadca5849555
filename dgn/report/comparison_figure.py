"""A figure that compares methods, suitable for a paper: one row per unit, one column per method and prior."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import written_aside
from dgn.report.contact_sheet import INK, PAPER, Font, shortened

PICTURE = 160  # minimum height in pixels, to which small pictures are enlarged: half an inch at 300 dpi


def comparison_figure(
    images: Tensor,
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    per_cell: int = 1,
    scale: int | None = None,
) -> Image.Image:
    """Draws pictures in a table with titles above the columns and left of the rows, on white.

    Args:
        images: float (rows * columns * per_cell, 3, H, W) in image space, row by row and cell by cell; a cell with
            fewer images is filled with white ones.
        row_titles: the titles of the rows.
        column_titles: the titles of the columns; titles wider than a cell are wrapped at ` · `.
        per_cell: the number of images in a cell.
        scale: integer factor by which pictures are enlarged; None: to a height of at least 160 pixels.
    """
    height, width = images.shape[-2:]
    factor = scale or max(1, -(-PICTURE // height))
    height, width = factor * height, factor * width
    gap = max(2, height // 40)  # between the pictures of a cell; four times as much between columns
    size = min(max(14, height // 8), 32)
    font = ImageFont.load_default(size)
    cell = per_cell * (width + gap) - gap
    names = [_lines(title, font, cell) for title in column_titles]
    head = round(1.25 * size * max(map(len, names))) + size // 2
    widest = max(round(font.getlength(shortened(title, font, 3 * width))) for title in row_titles)
    left, top = size + widest + size // 2, size // 2 + head
    sheet = Image.new(
        "RGB",
        (left + len(names) * (cell + 4 * gap) - 4 * gap + size, top + len(row_titles) * (height + gap) - gap + size),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(names):
        centre = left + column * (cell + 4 * gap) + cell / 2
        for i, line in enumerate(reversed(lines)):
            draw.text((centre, top - size // 2 - round(1.25 * size * i)), line, INK, font, anchor="ms")
    for row, title in enumerate(row_titles):
        middle = top + row * (height + gap) + height / 2
        draw.text((left - size // 2, middle), shortened(title, font, widest), INK, font, anchor="rm")
    for index, picture in enumerate(pictures(images)):
        row, column = divmod(index // per_cell, len(names))
        x = left + column * (cell + 4 * gap) + index % per_cell * (width + gap)
        sheet.paste(picture.resize((width, height), Resampling.LANCZOS), (x, top + row * (height + gap)))
    return sheet


def save_comparison_figure(
    path: str | Path,
    images: Tensor,
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    per_cell: int = 1,
    scale: int | None = None,
) -> None:
    """Writes the picture of `comparison_figure` as a PNG at 300 dpi, atomically."""
    sheet = comparison_figure(images, row_titles, column_titles, per_cell, scale)
    with written_aside(path) as aside:
        sheet.save(aside, format="PNG", dpi=(300, 300))


def _lines(title: str, font: Font, width: int) -> list[str]:
    """Wraps a title at ` · ` into lines of at most `width` pixels."""
    lines: list[str] = []
    for part in title.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines else part
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return [shortened(line, font, width) for line in lines]
