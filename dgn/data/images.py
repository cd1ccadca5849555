"""Image files in and out of image space: channels first, RGB unless data say otherwise.

`read_image` is the only reader of image files (datasets, real images for comparison, nearest neighbours), so that a
file gives the same tensor everywhere. `as_images` converts images in memory, in any common form.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from dgn.data.bands import decode_bands, is_array
from dgn.data.display import as_rgb
from dgn.data.pillow import TooManyPixels, open_image, rgb, stated_size
from dgn.errors import UserError
from dgn.files import written_aside

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_JPEG_MAGIC = b"\xff\xd8\xff"
_FEW = 4  # more channels than these are recognized by their place alone


def read_image(
    path: str | Path,
    short_side: int | None = None,
    channels: int | None = None,
    values: Sequence[float] | None = None,
) -> Tensor:
    """Reads an image file: uint8 (3, H, W), RGB, rotated by its EXIF orientation.

    Grayscale, palette, CMYK and 1-bit files become RGB; 16 bits are scaled to 8, and so are grey floating-point TIFFs,
    from the smallest of 0..1, 0..255 and 0..65535 that holds their values; an animation gives its first frame.
    Whatever is transparent is laid on white, as viewers and browsers do: the colours stored under transparent pixels
    are arbitrary, and most pictures with alpha are drawn for a white page. Colour profiles are not applied. What the
    file is follows from its first bytes, not from its name. The strides are the decoder's: call `.contiguous()` before
    `.view()`.

    With `short_side`, the side that the caller is about to scale it to, a JPEG of at least four times that may
    come at 1/2, 1/4 or 1/8 of its size, never less than twice `short_side`: a 12-megapixel photograph in a
    third of the time, and after the antialiased resize 47 dB from the same picture read whole.

    With `channels`, uint8 (channels, H, W): 1 is grey, of any picture; 2 and 4 are grey and RGB with their alpha
    channel as it is; any other number is that of an array (.npy, .npz) or of a TIFF's bands or pages. `values` are then
    the file's values of black and white (`dgn.data.bands`). None is RGB, of pictures alone.

    Raises UserError, naming the file and the reason, where it is missing, a folder, corrupt or truncated, of
    another format, or of float or 32-bit values outside these ranges.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise UserError(f"no image file {path}; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not an image file; give the path of one image") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from None
    except ValueError as error:  # a zero byte in the path
        raise UserError(f"cannot read image {str(path)!r}: {error}; check the path") from None
    return decode_image(data, path, short_side, channels, values)


def decode_image(
    data: np.ndarray,
    name: str | Path,
    short_side: int | None = None,
    channels: int | None = None,
    values: Sequence[float] | None = None,
) -> Tensor:
    """Like `read_image`, from a file's content, uint8 (bytes,). name: the file's name in messages."""
    with _told(data, name):
        if channels is not None and (channels != 3 or values is not None or is_array(data) or _is_tiff(data)):
            return decode_bands(data, channels, values)
        if data[:3].tobytes() == _JPEG_MAGIC and not _worth_scaling(data, stated_size(data), short_side):
            try:
                # CMYK and YCCK included: torchvision takes them as Adobe's inverted inks, exactly as Pillow does.
                return _decode_jpeg(torch.from_numpy(data))
            except (ImportError, RuntimeError):
                pass  # Pillow reads a few more (or says in a user's words what is wrong)
        with open_image(data) as image:
            if short_side is not None:
                image.draft(None, (2 * short_side, 2 * short_side))
            return torch.from_numpy(rgb(image)).permute(2, 0, 1)


def jpeg_decoder() -> str:
    """The decoder of JPEG files: "torchvision 0.29.0" if it has one, else "Pillow 13.0.0"."""
    try:
        # An eight-pixel-square grey JPEG; a torchvision built without its image library has the name alone.
        _decode_jpeg(torch.frombuffer(bytearray(_tiny_jpeg()), dtype=torch.uint8))
    except (ImportError, RuntimeError):
        return f"Pillow {PIL.__version__}"
    import torchvision

    return f"torchvision {torchvision.__version__}"


def _decode_jpeg(data: Tensor) -> Tensor:
    """Decodes a JPEG by torchvision's library, in three quarters of Pillow's time: uint8 (bytes,) -> (3, H, W), RGB.

    Deprecated since torchvision 0.29 in favour of torchcodec, which is not used because it needs FFmpeg; Pillow decodes
    where torchvision no longer does. torchvision is imported here because it takes seconds, which most programs that
    write pictures need not wait for.

    Raises:
        ImportError: If torchvision has no decoder.
        RuntimeError: If it cannot read the file.
    """
    from torchvision.io import decode_jpeg

    return decode_jpeg(data, mode="RGB", apply_exif_orientation=True)


def as_images(images: Any) -> Tensor:
    """Converts images in memory to image space. Differentiable.

    Args:
        images: A tensor (N, C, H, W); an array (N, C, H, W), (N, H, W, C) or, for one image, (H, W, C); a Pillow
            image; or a list of Pillow images, of arrays (H, W, C) or (C, H, W), or of tensors (C, H, W), all of one
            size. Channels are last where the last side is at most 4 and the one in their place is not. uint8 values are
            0..255, floats 0..1.

    Returns:
        Float (N, C, H, W); Pillow images are RGB. A floating-point tensor of this shape is returned unchanged; anything
        that is not a tensor becomes float32.

    Raises:
        UserError: For anything else.
    """
    if isinstance(images, Tensor):
        return _in_unit_range(_checked_batch(images))
    if isinstance(images, Image.Image):
        return as_images(rgb(images)[None])
    if isinstance(images, np.ndarray):
        return _of_array(images)
    if isinstance(images, list | tuple):
        if not images:
            raise UserError("the list of images is empty; give at least one")
        singles = [_single(image) for image in images]
        sizes = sorted({f"{single.shape[-1]}x{single.shape[-2]}" for single in singles})
        if len(sizes) > 1:
            raise UserError(f"images of several sizes ({', '.join(sizes[:4])}) cannot form a batch; resize them")
        return torch.cat([single.float() for single in singles])
    raise UserError(
        f"a {type(images).__name__} is not an image; give a tensor (N, C, H, W), an array (N, H, W, C), or Pillow "
        "images (a file: PIL.Image.open)"
    )


def save_png(image: Tensor, path: str | Path) -> None:
    """Writes `image`, float (C, H, W) in [0, 1], as an 8-bit PNG, atomically.

    Images that are not RGB are written as they are shown (`dgn.data.display`). Values outside [0, 1] are clamped.
    Missing parent folders are created. Raises UserError if that or the writing fails.
    """
    levels = as_rgb(image.detach()[None])[0].float().clamp(0, 1).mul(255).round().to(torch.uint8)
    array = levels.permute(1, 2, 0).cpu().numpy()
    with written_aside(path) as aside:
        Image.fromarray(array).save(aside, format="PNG")


def image_grid(images: Tensor, columns: int | None = None, padding: int = 2, background: float = 1.0) -> Tensor:
    """Lays `images`, float (N, C, H, W), out in rows of `columns`, N >= 1; returns float (3, H', W').

    Image i stands in row i // columns. `columns` defaults to the smallest number that makes the grid no
    taller than wide. `padding` pixels of the gray value `background` surround every image, and fill the empty
    cells of the last row.
    """
    images = as_rgb(images)
    count, channels, height, width = images.shape
    columns = min(columns or int(np.ceil(count**0.5)), count)
    rows = -(-count // columns)
    cells = images.new_full((rows * columns, channels, height + padding, width + padding), background)
    cells[:count, :, :height, :width] = images
    sheet = cells.view(rows, columns, channels, height + padding, width + padding)
    sheet = sheet.permute(2, 0, 3, 1, 4).reshape(channels, rows * (height + padding), -1)
    return torch.nn.functional.pad(sheet, (padding, 0, padding, 0), value=background)


def _of_array(array: np.ndarray) -> Tensor:
    if array.ndim == 3 and _channels_last(array.shape):
        array = array[None]
    if array.ndim == 4 and _channels_last(array.shape[1:]):
        array = array.transpose(0, 3, 1, 2)
    images = _in_unit_range(_checked_batch(torch.from_numpy(np.array(array, order="C"))))
    if images.numel() and float(images.max()) > 2:
        raise UserError(f"images have values up to {float(images.max()):g}; floats are 0..1: divide them by 255")
    return images.float()


def _channels_last(shape: Sequence[int]) -> bool:
    """Whether the last of an image's three sides must be its channels: there are few, and the first is larger."""
    return shape[2] <= _FEW < shape[0]


def _single(image: Any) -> Tensor:
    """One image of a list, (1, 3, H, W)."""
    if isinstance(image, Tensor | np.ndarray) and image.ndim == 3:
        image = image[None]
    batch = as_images(image)
    if len(batch) != 1:
        raise UserError(f"a list of images holds one of shape {tuple(batch.shape)}; join batches with torch.cat")
    return batch


def _checked_batch(images: Tensor) -> Tensor:
    shape = tuple(images.shape)
    if images.ndim == 4 and not _channels_last(shape[1:]):
        return images
    if images.ndim == 4:
        raise UserError(f"images of shape {shape} have their channels last; give images.permute(0, 3, 1, 2)")
    if images.ndim == 3:
        raise UserError(f"images of shape {shape} are not a batch (N, C, H, W); for one image give image[None]")
    raise UserError(f"images of shape {shape} are not a batch of images (N, C, H, W)")


def _in_unit_range(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images.float() / 255
    if images.dtype == torch.bool:
        return images.float()
    if not images.is_floating_point():
        raise UserError(f"images of {images.dtype} have an unknown range; give uint8 (0..255) or floats (0..1)")
    return images


def _tiny_jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "gray").save(file, "JPEG")
    return file.getvalue()


def _worth_scaling(jpeg: np.ndarray, size: tuple[int, int] | None, short_side: int | None) -> bool:
    if size is None or short_side is None or jpeg.size < 2 * short_side**2:  # it spends more than 1/8 byte on a pixel
        return False
    return min(size) >= 4 * short_side


def _is_tiff(data: np.ndarray) -> bool:
    return data[:2].tobytes() in (b"II", b"MM")


@contextmanager
def _told(data: np.ndarray, name: str | Path) -> Iterator[None]:
    """Converts what a decoder raises, which may be anything for foreign bytes, to one line that names the file."""
    try:
        yield
    except TooManyPixels as error:
        raise UserError(f"cannot read image {name}: {error}; make it smaller, or remove it") from None
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format" if data.size else "the file is empty"
        known = " ".join(EXTENSIONS)
        raise UserError(f"cannot read image {name}: {reason}; fix or remove it (readable: {known})") from None


def reconstruction_grid(real: Tensor, reconstructed: Tensor, columns: int = 8) -> Tensor:
    """Real images over their reconstructions: each row of `columns` real ones stands on the row of theirs.

    real, reconstructed: float (N, C, H, W) in image space, N >= 1; values outside [0, 1] are clamped. Returns
    float (3, H', W'), white between: a thin line between a picture and its reconstruction and between
    neighbours, three times as much between one pair of rows and the next. Places left over are white.
    """
    real, reconstructed = as_rgb(real), as_rgb(reconstructed)
    count, channels, height, width = real.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    line = max(1, height // 32)
    # One cell is a real image, its reconstruction below, and the white right of and below them.
    cells = real.new_ones(rows * columns, channels, 2 * height + 4 * line, width + line)
    cells[:count, :, :height, :width] = real.clamp(0, 1)
    cells[:count, :, height + line : 2 * height + line, :width] = reconstructed.to(real).clamp(0, 1)
    sheet = cells.view(rows, columns, *cells.shape[1:]).permute(2, 0, 3, 1, 4)
    sheet = sheet.reshape(channels, rows * cells.shape[2], columns * cells.shape[3])
    return torch.nn.functional.pad(sheet[:, : -2 * line], (line, 0, line, 0), value=1.0)


def pictures(images: Tensor) -> Iterator[Image.Image]:
    """Float (N, C, H, W) in image space, on any device -> N pictures of 8 bits; values outside [0, 1] are clamped.

    Images that are not RGB are as they are shown (`dgn.data.display`).
    """
    for batch in images.split(64):  # in batches: one at a time takes longer than writing the files
        shown = as_rgb(batch.detach()).float().clamp(0, 1)
        levels = shown.mul(255).round().byte().permute(0, 2, 3, 1).contiguous().cpu()
        yield from map(Image.fromarray, levels.numpy())
