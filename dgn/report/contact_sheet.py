"""All preferred images of a run on one sheet: each unit's seeds side by side under its title."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling
from torch import Tensor

from dgn.data.images import pictures
from dgn.files import written_aside

PAPER, INK, FAINT = (255, 255, 255), (28, 28, 30), (96, 96, 100)
ASPECT = 4 / 3
SMALLEST_SIDE = 112  # pictures are enlarged until their height is at least this
MOST_PIXELS = 40_000_000  # limit of a sheet with automatic scale, which browsers and viewers open quickly

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    images: Tensor,
    titles: Sequence[str],
    per_group: int,
    captions: Sequence[str] | None = None,
    scale: int | None = None,
    together: int = 1,
) -> Image.Image:
    """Draws groups of pictures under their titles, in a number of columns that makes the sheet about 4:3.

    Args:
        images: float (len(titles) * per_group, 3, H, W) in image space, group by group.
        titles: one per group. Titles and captions that are too long are shortened as by `shortened`.
        per_group: the number of images in a group.
        captions: one per image, shown under it.
        scale: the integer factor by which pictures are enlarged; None: so that they are easily seen, and reduced,
            down to a fraction of their size, if the sheet would exceed 40 million pixels.
        together: the number of consecutive groups that stay in one row, such as a unit's images by each method.
    """
    height, width = images.shape[-2:]
    plan = plan_sheet((height, width), len(titles), per_group, captions is not None, scale, together)
    sheet = Image.new("RGB", (plan.width, plan.height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = (ImageFont.load_default(size) for size in (plan.title_size, plan.caption_size))
    for group, title in enumerate(titles):
        left, top = plan.group(group)
        baseline = (left, top + plan.title_size)
        draw.text(baseline, shortened(title, title_font, plan.group_width), INK, title_font, anchor="ls")
    for index, picture in enumerate(pictures(images)):
        left, top = plan.picture(index)
        # Lanczos: pixels enlarged to squares would make pictures this small hard to recognize.
        sized = picture if picture.size == plan.picture_size else picture.resize(plan.picture_size, Resampling.LANCZOS)
        sheet.paste(sized, (left, top))
        if captions is not None:
            baseline = (left, top + plan.picture_size[1] + round(1.4 * plan.caption_size))
            text = shortened(captions[index], caption_font, plan.picture_size[0])
            draw.text(baseline, text, FAINT, caption_font, anchor="ls")
    return sheet


def save_contact_sheet(
    path: str | Path,
    images: Tensor,
    titles: Sequence[str],
    per_group: int,
    captions: Sequence[str] | None = None,
    scale: int | None = None,
    together: int = 1,
) -> None:
    """Writes the sheet of `contact_sheet` as a PNG, atomically."""
    sheet = contact_sheet(images, titles, per_group, captions, scale, together)
    with written_aside(path) as aside:
        sheet.save(aside, format="PNG", compress_level=3)  # half the time of the default 6, for 10% more bytes


@dataclass(frozen=True)
class Layout:
    """The layout of a sheet, in pixels. Sizes are (width, height), positions (left, top)."""

    columns: int
    rows: int
    per_group: int
    picture_size: tuple[int, int]
    title_size: int
    caption_size: int
    captioned: bool

    @property
    def gap(self) -> int:
        """Between the pictures of a group; all other distances are multiples of it."""
        return max(2, self.picture_size[1] // 32)

    @property
    def margin(self) -> int:
        """Between groups, and around the sheet."""
        return 2 * self.title_size

    @property
    def group_width(self) -> int:
        pictures = self.per_group * (self.picture_size[0] + self.gap) - self.gap
        return max(pictures, 9 * self.title_size)  # room for a word, however narrow the pictures

    @property
    def group_height(self) -> int:
        caption = round(1.6 * self.caption_size) if self.captioned else 0
        return self._head + self.picture_size[1] + caption

    @property
    def width(self) -> int:
        return self.columns * (self.group_width + self.margin) + self.margin

    @property
    def height(self) -> int:
        return self.rows * (self.group_height + self.margin) + self.margin

    def group(self, group: int) -> tuple[int, int]:
        """Returns the left top of a group, which is that of its title."""
        row, column = divmod(group, self.columns)
        return (
            self.margin + column * (self.group_width + self.margin),
            self.margin + row * (self.group_height + self.margin),
        )

    def picture(self, index: int) -> tuple[int, int]:
        """Returns the left top of a picture."""
        group, place = divmod(index, self.per_group)
        left, top = self.group(group)
        return left + place * (self.picture_size[0] + self.gap), top + self._head

    @property
    def _head(self) -> int:
        return round(1.5 * self.title_size)  # the title's line and the white below it


def plan_sheet(
    image_size: tuple[int, int],
    groups: int,
    per_group: int,
    captioned: bool = False,
    scale: int | None = None,
    together: int = 1,
) -> Layout:
    """Returns the layout of `groups` x `per_group` pictures of (height, width) pixels. See `contact_sheet`."""
    if scale is not None:
        return _plan_at(Fraction(scale), image_size, groups, per_group, captioned, together)
    largest = max(1, -(-SMALLEST_SIDE // image_size[0]))
    for factor in (*range(largest, 0, -1), *(Fraction(1, n) for n in range(2, max(3, image_size[0] // 24)))):
        plan = _plan_at(Fraction(factor), image_size, groups, per_group, captioned, together)
        if plan.width * plan.height <= MOST_PIXELS:
            break
    return plan


def _plan_at(
    scale: Fraction, image_size: tuple[int, int], groups: int, per_group: int, captioned: bool, together: int
) -> Layout:
    height, width = (max(1, round(side * scale)) for side in image_size)
    title_size = min(max(round(height / 8), 12), 24)
    caption_size = min(max(round(height / 10), 10), 18)

    def plan(columns: int) -> Layout:
        rows = -(-groups // columns)
        return Layout(columns, rows, per_group, (width, height), title_size, caption_size, captioned)

    single = plan(1)
    ideal = (groups * ASPECT * (single.group_height + single.margin) / (single.group_width + single.margin)) ** 0.5
    nearby = {together * min(max(1, int(ideal / together) + step), ceil(groups / together)) for step in (0, 1)}
    plans = [plan(columns) for columns in nearby]
    # Of the two, the one nearer to 4:3; `max` of the ratio and its inverse treats too wide and too tall alike.
    return min(plans, key=lambda p: max(p.width / p.height / ASPECT, p.height / p.width * ASPECT))


def shortened(text: str, font: Font, width: int) -> str:
    """Returns a text as one line of at most `width` pixels, shortened with an ellipsis if needed.

    A layer's long name is shortened, not the unit that follows it: the units of a layer differ in that alone. Letters
    that Pillow's font lacks are replaced.
    """
    text = _drawable(" ".join(text.split()))
    if font.getlength(text) <= width:
        return text
    first = text.partition(" · ")[0]
    ending = ""
    if font.getlength(first) > width:
        layer, colon, unit = first.rpartition(":")
        if colon and font.getlength(f"…:{unit}") <= width:
            text, ending = layer, f":{unit}"
    kept, cut = 0, len(text)  # bisection for the longest prefix that fits
    while kept < cut - 1:
        middle = (kept + cut) // 2
        fits = font.getlength(f"{text[:middle].rstrip()}…{ending}") <= width
        kept, cut = (middle, cut) if fits else (kept, middle)
    return f"{text[:kept].rstrip()}…{ending}"


def _drawable(text: str) -> str:
    """Returns `text` without accents, and with a question mark for letters that Pillow's default font lacks."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter in "·…" else "?" for letter in bare.replace("ß", "ss"))
