"""Pictures on their way to a page and from it: data URLs."""

import base64
import binascii

import numpy as np
import torch
from torch import Tensor

from dgn.data.images import decode_image, pictures
from dgn.errors import UserError
from dgn.report.heat import coloured
from dgn.report.real_images import png

_TILE = 80  # pixels of a tile's longer side, as the page shows it
_LARGEST = 8 * 2**20  # bytes of an upload; the page makes pictures small before it sends them


def data_url(image: Tensor) -> str:
    """Returns an image (3, H, W) as a data URL."""
    (picture,) = pictures(image[None])
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def map_url(values: Tensor) -> str:
    """Returns a map (H, W) in colours as a data URL, no larger than a tile: large networks have many large maps."""
    scale = _TILE / max(values.shape)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in values.shape]
        values = torch.nn.functional.interpolate(values[None, None].float(), size, mode="area")[0, 0]
    return data_url(coloured(values))


def from_data_url(text: str) -> Tensor:
    """Returns the image (3, H, W) of a data URL.

    Raises:
        UserError: If it is no image, in one line.
    """
    head, comma, body = str(text).partition(",")
    if not comma or not head.startswith("data:image/") or len(body) > _LARGEST:
        raise UserError("that is not an image, or a very large one; give a JPEG or PNG")
    try:
        data = np.frombuffer(bytearray(base64.b64decode(body, validate=True)), dtype=np.uint8)
    except (binascii.Error, ValueError):
        raise UserError("that is not an image; give a JPEG or PNG") from None
    return torch.as_tensor(decode_image(data, "the picture")).float().div(255)
