"""Pictures as Pillow reads them: 8-bit RGB, upright, on white."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dgn.errors import UserError

MOST_PIXELS = 128_000_000
"""The largest image that is read, in pixels: about 2 GiB while it is decoded."""

# Only these, because Pillow left to itself also opens EPS (by running Ghostscript) and forty more.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def open_image(data: np.ndarray) -> Any:
    """Opens an image from a file's content, uint8 (bytes,); pixels are read later. Raises what Pillow does."""
    return Image.open(io.BytesIO(data.data), formats=FORMATS)


def check_pixels(data: np.ndarray, name: str | Path) -> None:
    """Raises UserError for a picture of more than MOST_PIXELS: a header of a few bytes can state billions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of half of what Pillow refuses
            with open_image(data) as image:
                pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MOST_PIXELS + 1
    except Exception:  # the decoder reports the reason
        return
    if pixels > MOST_PIXELS:
        raise UserError(
            f"cannot read image {name}: it is damaged, or has more than {MOST_PIXELS // 10**6} megapixels; make it "
            "smaller, or remove it"
        )


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
