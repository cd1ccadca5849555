"""How images of any number of channels are shown: as grey, as three of their channels, or in false colours.

Every picture that is written goes through `as_rgb`. RGB images pass it unchanged. What is shown of others is a setting
of the run: `show.channels`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.errors import UserError

PCA = "pca"
_SPREAD = 3.0  # standard deviations of a principal component that the range of a false colour spans, to each side
_HINT = "give three indices of channels, as in [3,2,1], one for grey, as in [0], pca, or null"


@dataclass(frozen=True)
class FalseColours:
    """The first three principal components of the channels of images, as red, green and blue.

    Attributes:
        mean: (C,), the mean of the images' pixels.
        axes: (3, C), the principal axes, each divided by the range that is shown.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, images: Iterable[Tensor]) -> "FalseColours":
        """Measures them over all pixels of batches (N, C, H, W)."""
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for batch in images:
            pixels = batch.detach().cpu().double().movedim(1, 0).flatten(1)
            count, total, products = count + pixels.shape[1], total + pixels.sum(1), products + pixels @ pixels.T
        mean = total / max(count, 1)
        values, axes = torch.linalg.eigh(products / max(count, 1) - mean.outer(mean))
        strongest = axes.flip(1)[:, :3].T  # (at most 3, C), the strongest first
        strongest = strongest * torch.where(strongest.sum(1, keepdim=True) < 0, -1.0, 1.0)  # more is lighter
        spread = 2 * _SPREAD * values.flip(0)[:3].clamp_min(1e-8).sqrt()
        return cls(mean.float(), (strongest / spread[:, None]).float())

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 3, H, W), in [0, 1]; mid-grey is the mean."""
        away = images.float() - self.mean.to(images.device)[:, None, None]
        shown = 0.5 + torch.einsum("kc,nchw->nkhw", self.axes.to(images.device), away)
        return torch.cat([shown, shown.new_full((len(shown), 3 - shown.shape[1], *shown.shape[2:]), 0.5)], 1).clamp(
            0, 1
        )


def as_rgb(images: Tensor) -> Tensor:
    """Returns images (N, C, H, W) in image space as they are shown: RGB (N, 3, H, W).

    Images of three channels are unchanged, and of one channel grey. For others the setting `show.channels` decides;
    without one, images of two channels are grey, by the first (the second is alpha or depth), and of more than three
    the first three are red, green and blue.

    Raises:
        UserError: If the setting names channels that the images lack.
    """
    count = images.shape[1]
    if count == 3:
        return images
    if count == 1:
        return images.expand(-1, 3, -1, -1)
    if _CHOSEN.channels == PCA:
        if _CHOSEN.colours is None or len(_CHOSEN.colours.mean) != count:
            _CHOSEN.colours = FalseColours.fit(_CHOSEN.images() if _CHOSEN.images is not None else [images])
        return _CHOSEN.colours(images)
    channels = _CHOSEN.channels or ((0, 1, 2) if count > 3 else (0,))
    if max(channels) >= count:
        raise UserError(f"show.channels={list(channels)}: the images have channels 0 .. {count - 1}; {_HINT}")
    shown = images[:, list(channels)]
    return shown if len(channels) == 3 else shown.expand(-1, 3, -1, -1)


@contextmanager
def showing(channels: Any, images: Callable[[], Iterable[Tensor]] | None = None) -> Iterator[None]:
    """Within it, images are shown as a setting says.

    Args:
        channels: None, three indices, one, or "pca".
        images: Gives real images (N, C, H, W), from which "pca" measures its colours; None: the first that are shown.

    Raises:
        UserError: For any other setting.
    """
    global _CHOSEN
    before, _CHOSEN = _CHOSEN, _Choice(_checked(channels), images)
    try:
        yield
    finally:
        _CHOSEN = before


@dataclass
class _Choice:
    channels: Any = None
    images: Callable[[], Iterable[Tensor]] | None = None
    colours: FalseColours | None = None


# One for the process: pictures are written from many places, and from threads.
_CHOSEN = _Choice()


def _checked(channels: Any) -> Any:
    if channels is None or channels == PCA:
        return channels
    indices = [channels] if isinstance(channels, int) else channels
    valid = isinstance(indices, Sequence) and not isinstance(indices, str) and len(indices) in (1, 3)
    if not valid or not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in indices):
        raise UserError(f"show.channels={channels}: {_HINT}")
    return tuple(indices)
