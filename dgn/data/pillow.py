"""Pictures as Pillow reads them: 8-bit RGB, upright, on white."""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MOST_PIXELS = 128_000_000
"""The largest image that is read, in pixels: about 2 GiB while it is decoded."""

# Only these, because Pillow left to itself also opens EPS (by running Ghostscript) and forty more.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


class TooManyPixels(ValueError):
    """A picture of more than MOST_PIXELS: a header of a few bytes can state billions."""

    def __init__(self) -> None:
        super().__init__(f"it is damaged, or has more than {MOST_PIXELS // 10**6} megapixels")


def open_image(data: np.ndarray) -> Any:
    """Opens an image from a file's content, uint8 (bytes,); pixels are read later.

    Raises:
        TooManyPixels: Before memory is taken for them.
        Exception: What Pillow raises for a header that it cannot read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of half of what Pillow refuses
            image = Image.open(io.BytesIO(data.data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise TooManyPixels from None
    # Animated WebP is composed on further canvases of four bytes a pixel.
    canvases = 2 if image.format == "WEBP" and getattr(image, "is_animated", False) else 1
    if image.width * image.height * canvases > MOST_PIXELS:
        image.close()
        raise TooManyPixels
    return image


def stated_size(data: np.ndarray) -> tuple[int, int] | None:
    """Returns the width and height that an image's header states, before another decoder than Pillow reads it.

    Returns None for a header that Pillow cannot read: the decoder reports the reason.

    Raises:
        TooManyPixels: As `open_image`.
    """
    try:
        with open_image(data) as image:
            width, height = image.size
            return width, height
    except TooManyPixels:
        raise
    except Exception:
        return None


def rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of an opened Pillow image, upright."""
    image.load()
    image = upright(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        gray = eight_bits(np.asarray(image))
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def upright(image: Image.Image) -> Image.Image:
    """Rotates an image as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # invalid metadata does not make the image unreadable
        return image


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Pillow clips these modes when it converts them, so they are scaled here to 0 .. 255.

    Whole numbers are of 0 .. 65535. Floating-point numbers have no range of their own: it is the smallest of 0 .. 1,
    0 .. 255 and 0 .. 65535 that holds all of the picture.
    """
    tops = (1, 255, 65535) if values.dtype.kind == "f" else (65535,)
    low, high = values.min(), values.max()  # NaN where any value is
    slack = 1e-4  # relative tolerance for rounding
    top = next((top for top in tops if high <= (1 + slack) * top), None)
    if top is None or low < -slack * top:
        known = ", ".join(f"0 .. {top}" for top in tops)
        raise ValueError(f"{values.dtype} values from {low:g} to {high:g} are in no known range ({known})")
    return np.round(values.astype(np.float64) * (255 / top)).clip(0, 255).astype(np.uint8)
