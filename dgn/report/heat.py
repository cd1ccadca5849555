"""Maps over an image as pictures: in colours, laid over the image, and as the image's own transparency."""

import io

import torch
from PIL import Image
from torch import Tensor

from dgn.data.display import as_rgb

_AMOUNT = (
    (0.985, 0.985, 0.975),
    (0.99, 0.88, 0.66),
    (0.98, 0.62, 0.36),
    (0.87, 0.30, 0.32),
    (0.52, 0.12, 0.42),
    (0.18, 0.06, 0.28),
)
_AGAINST = ((0.985, 0.985, 0.975), (0.68, 0.83, 0.93), (0.30, 0.58, 0.80), (0.08, 0.30, 0.58), (0.03, 0.16, 0.36))
"""Colours from none to most, darker all the way: of what speaks for the unit, and of what speaks against it."""

_TOP = 0.995  # quantile of the absolute values that gets the last colour: one bright pixel does not hide the others


def scaled(values: Tensor) -> Tensor:
    """Returns a map (H, W) divided by a high quantile of its absolute values, in [-1, 1]; 0 stays 0."""
    values = values.float()
    top = torch.quantile(values.abs().flatten(), _TOP)
    top = top if top > 0 else values.abs().max()
    return (values / top).clamp(-1, 1) if top > 0 else torch.zeros_like(values)


def coloured(values: Tensor) -> Tensor:
    """Returns a map (H, W) as a picture (3, H, W): light where it is 0, warm where positive, blue where negative."""
    share = scaled(values)
    return torch.where(share[None] < 0, _blend(-share, _AGAINST), _blend(share, _AMOUNT))


def overlaid(image: Tensor, values: Tensor) -> Tensor:
    """Returns an image (C, H, W) in grey with a map (H, W) over it in colours, opaque where the map is large."""
    image = as_rgb(image[None])[0]
    grey = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1).mul(image).sum(0, keepdim=True).expand_as(image)
    opacity = scaled(values).abs().sqrt().mul(0.85)[None]
    return (1 - opacity) * (0.25 + 0.75 * grey) + opacity * coloured(values)


def as_picture(attributions: Tensor) -> Tensor:
    """Returns attributions of three channels (3, H, W) as a picture: grey is 0, as in published figures."""
    top = torch.quantile(attributions.abs().flatten().float(), _TOP)
    return (0.5 + attributions / (2 * top)).clamp(0, 1) if top > 0 else torch.full_like(attributions, 0.5)


def transparent(image: Tensor, values: Tensor) -> bytes:
    """Returns a PNG of an image (C, H, W) that is opaque where a map (H, W) is large and transparent where it is not.

    Negative values are transparent, as 0 is.
    """
    image = as_rgb(image[None])[0]
    alpha = scaled(values.clamp_min(0)).clamp(0, 1)
    levels = torch.cat([image, alpha[None]]).mul(255).round().clamp(0, 255).byte().permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(levels.contiguous().numpy(), "RGBA").save(file, format="PNG")
    return file.getvalue()


def _blend(share: Tensor, colours: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Interpolates between colours at equal distances, for shares (H, W) in [0, 1]."""
    table = torch.tensor(colours)
    place = share.clamp(0, 1) * (len(colours) - 1)
    low = place.floor().long().clamp(max=len(colours) - 2)
    part = (place - low)[..., None]
    return ((1 - part) * table[low] + part * table[low + 1]).permute(2, 0, 1)
