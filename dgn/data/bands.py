"""Image files of any number of channels: grey, RGBA, arrays, and TIFFs of several bands or pages.

`dgn.data.images.read_image` uses it for all but RGB pictures.
"""

import io
import math
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dgn.data.channels import in_words
from dgn.data.pillow import eight_bits, open_image, stated_size, upright

ARRAYS = (".npy", ".npz")
"""Endings of array files: one image each, (H, W), (H, W, C) or (C, H, W)."""

_NUMPY, _ZIP, _TIFF = b"\x93NUMPY", b"PK\x03\x04", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_MODES = {1: "L", 2: "LA", 4: "RGBA"}
_LARGEST = 2**31  # bytes of one array: a header of a few bytes can ask for any amount


def is_array(data: np.ndarray) -> bool:
    """Whether a file's content, uint8 (bytes,), is an array of numpy's."""
    return data[:6].tobytes() == _NUMPY or data[:4].tobytes() == _ZIP


def decode_bands(data: np.ndarray, channels: int, values: Sequence[float] | None = None) -> Tensor:
    """Returns an image of `channels` channels from a file's content.

    Args:
        data: uint8 (bytes,).
        channels: The number of channels.
        values: The values of black and of white; None: those of the file's type (0..255, 0..65535), and for
            floating-point numbers the smallest of 0..1, 0..255 and 0..65535 that holds the file's.

    Returns:
        uint8 (channels, H, W).

    Raises:
        ValueError: If the file has another number of channels, or values beyond these ranges.
    """
    if is_array(data):
        return _tensor(channels_first(_array(data), channels), values)
    if data[:4].tobytes() in _TIFF and (bands := _tiff(data)) is not None:
        return _tensor(channels_first(bands, channels), values)
    with open_image(data) as image:
        return _tensor(_of_picture(image, channels), values)


def channels_first(array: np.ndarray, channels: int) -> np.ndarray:
    """Returns an image (H, W), (H, W, C) or (C, H, W) as (C, H, W).

    Raises:
        ValueError: If it has another number of channels.
    """
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise ValueError(f"its shape is {array.shape}; an image is (H, W), (H, W, C) or (C, H, W)")
    if array.shape[2] == channels and (array.shape[0] != channels or array.shape[1] == channels):
        return array.transpose(2, 0, 1)
    if array.shape[0] != channels:
        found = min(array.shape[0], array.shape[2])
        raise ValueError(
            f"it has {in_words(found)} (shape {'x'.join(map(str, array.shape))}), and {channels} are expected; set "
            f"data.channels={found}, or remove it"
        )
    return array


def _array(data: np.ndarray) -> np.ndarray:
    file = io.BytesIO(data.tobytes())
    if data[:4].tobytes() != _ZIP:
        _check_size(file)
        return np.load(file, allow_pickle=False)
    with zipfile.ZipFile(file) as members:
        for member in members.namelist():
            with members.open(member) as stored:
                _check_size(stored)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        if len(arrays.files) != 1:
            raise ValueError(f"it holds {len(arrays.files)} arrays ({', '.join(arrays.files[:4])}); an image is one")
        return arrays[arrays.files[0]]


def _check_size(file: Any) -> None:
    """Raises ValueError if an array would take more memory than an image can; reads the header alone."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > _LARGEST:
        raise ValueError(f"its array of shape {shape} is too large for an image")
    if hasattr(file, "seek") and file.seekable():
        file.seek(0)


def _tiff(data: np.ndarray) -> np.ndarray | None:
    """The bands of a TIFF, (C, H, W), from several pages or samples; None: Pillow reads it (one page of 8 bits)."""
    stated_size(data)  # raises TooManyPixels
    file = io.BytesIO(data.tobytes())
    try:
        import tifffile
    except ModuleNotFoundError:
        return _pages(file)
    with tifffile.TiffFile(file) as tiff:
        first: Any = tiff.pages[0]
        if len(tiff.pages) == 1 and first.samplesperpixel <= 4 and first.dtype == np.uint8:
            return None  # Pillow knows palettes, inverted grey and orientation
        pages = [page for page in tiff.pages if page.shape == first.shape]  # without thumbnails and overviews
        bands = [_page_bands(page.asarray(), first.samplesperpixel) for page in pages]
    return np.concatenate(bands)


def _page_bands(page: np.ndarray, samples: int) -> np.ndarray:
    if page.ndim == 2:
        return page[None]
    return page.transpose(2, 0, 1) if page.shape[-1] == samples else page


def _pages(file: io.BytesIO) -> np.ndarray | None:
    """The pages of a TIFF by Pillow, which reads no more than four samples of 8 bits, or one of 16."""
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            count = getattr(image, "n_frames", 1)
            if count == 1:
                return None
            pages = []
            for page in range(count):
                image.seek(page)
                pages.append(np.array(image) if image.mode.startswith(("I", "F")) else np.array(image.convert("L")))
            return np.stack(pages)
    except OSError as error:
        raise ValueError(f"{error}; TIFFs of many bands need the package tifffile: pip install 'dgn[bands]'") from None


def _of_picture(image: Image.Image, channels: int) -> np.ndarray:
    """(C, H, W) of an opened Pillow image."""
    image.load()
    image = upright(image)
    if channels == 1 and (image.mode.startswith("I;16") or image.mode in ("I", "F")):
        return np.asarray(image)[None]
    has = 1 + (image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith(("I", "F"))) * 2
    has += image.has_transparency_data
    if channels == 1 or (channels == has and channels in _MODES):
        pixels = np.array(image.convert(_MODES[channels]))
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    raise ValueError(f"it has {in_words(has)}, and {channels} are expected; set data.channels={has}, or remove it")


def _tensor(array: np.ndarray, values: Sequence[float] | None) -> Tensor:
    """uint8 (C, H, W) of an image of any type."""
    if values is not None:
        low, high = float(values[0]), float(values[1])
        scaled = (array.astype(np.float64) - low) * 255 / (high - low)
        if not np.isfinite(scaled).all():
            raise ValueError("it has values that are not finite")
        array = np.round(scaled).clip(0, 255).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        if array.dtype.kind not in "fu" and array.dtype != np.int32:
            raise ValueError(f"the range of {array.dtype} values is not known; say it with data.values=[LOW,HIGH]")
        array = eight_bits(array)
    return torch.from_numpy(np.ascontiguousarray(array))
