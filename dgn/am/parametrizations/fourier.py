"""Images as spectra: Fourier coefficients in decorrelated colours (Olah et al. 2017), or phases (Fel et al. 2023).

With a separate step size for every frequency, ascent no longer favours the high frequencies, as it does on pixels.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.setting import Setting, resized
from dgn.errors import UserError

IMAGENET_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the covariance of ImageNet's colours, as published with Lucid (lucid/optvis/param/color.py)."""

NEAREST = 1 / 600
"""How close an image's pixels come to 0 and 1, which a sigmoid never reaches: less than half of a byte's step, so that
a photograph is written as it was read. The sigmoid's gradient is still large enough for ascent to return from there."""


class Fourier:
    """Real and imaginary parts of the spectrum of each decorrelated colour, (N, C, H, W // 2 + 1, 2).

    Each frequency is scaled by 1 / f; a sigmoid maps the result into [0, 1].

    Args:
        setting: the target and the image size.
        noise: standard deviation of the start.
        colours: "imagenet" (the published matrix) or "measured" (from the setting's real images). ImageNet's matrix
            is of RGB: other channels are measured where real images are known, else taken as they are.
        scale: factor of the image's sides relative to the setting's size.
    """

    bounds = None
    unit = 1.0

    def __init__(self, setting: Setting, noise: float = 0.01, colours: str = "imagenet", scale: float = 1.0) -> None:
        if colours not in ("imagenet", "measured"):
            raise UserError(f"method.parametrization.colours={colours!r}: give imagenet or measured")
        self.setting, self.noise = setting, noise
        self.size = (round(setting.size[0] * scale), round(setting.size[1] * scale))
        if colours == "imagenet" and setting.channels != 3:
            if setting.channels == 1 or setting.images is None:
                basis = IMAGENET_COLOURS[0][0] * torch.eye(setting.channels)  # as grey has in ImageNet
            else:
                basis = colour_statistics(setting.real_images(500, "the covariance of channels"))[1]
        elif colours == "imagenet":
            basis = torch.tensor(IMAGENET_COLOURS)
        else:
            basis = colour_statistics(setting.real_images(500, "the covariance of colours"))[1]
        self.basis = (basis / basis.norm(dim=0).max()).to(setting.device)
        frequencies = radial_frequencies(self.size).to(setting.device)
        height, width = self.size
        # In Lucid's normalization, where the transform is unitary and the last division is by 4.
        self.gain = (height * width) ** 0.5 / frequencies.clamp_min(1 / max(height, width)) / 4

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        images = self.setting.first_images(seeds, self.size, objectives)
        if images is not None:
            return self.encode(images)
        shape = (self.setting.channels, self.size[0], self.size[1] // 2 + 1, 2)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        return self.noise * noise.to(self.setting.device)

    def images(self, parameters: Tensor) -> Tensor:
        plane = torch.fft.irfft2(torch.view_as_complex(parameters.contiguous()) * self.gain, s=self.size)
        return torch.einsum("ck,nkhw->nchw", self.basis, plane).sigmoid()

    def encode(self, images: Tensor) -> Tensor:
        logits = resized(self.setting.checked(images).float(), self.size).clamp(NEAREST, 1 - NEAREST).logit()
        plane = torch.einsum("kc,nchw->nkhw", torch.linalg.inv(self.basis), logits)
        return torch.view_as_real(torch.fft.rfft2(plane) / self.gain)


class Phase:
    """Phases only, (N, C, H, W // 2 + 1), of the spectrum of each decorrelated colour (Fel et al. 2023, "MACO").

    The magnitudes are the average over real images, measured from the setting's images, and stay fixed.

    Args:
        setting: the target, the image size and the real images.
        measured: how many real images the magnitudes are averaged over.
        scale: factor of the image's sides relative to the setting's size. The method looks at crops, so the image
            may be larger than the target's input.
    """

    bounds = None
    unit = 1.0

    def __init__(self, setting: Setting, measured: int = 1000, scale: float = 1.0) -> None:
        self.setting = setting
        self.size = (round(setting.size[0] * scale), round(setting.size[1] * scale))
        why = "the magnitude of this method's spectrum"
        self.mean, basis = colour_statistics(setting.real_images(measured, why))
        self.basis, self.inverse = basis, torch.linalg.inv(basis)
        total, count = torch.zeros(len(basis), self.size[0], self.size[1] // 2 + 1), 0
        for batch in setting.real_images(measured, why, self.size):
            total += torch.fft.rfft2(self._plane(batch.cpu().float())).abs().sum(0)
            count += len(batch)
        self.magnitude = total / count
        for name in ("mean", "basis", "inverse", "magnitude"):
            setattr(self, name, getattr(self, name).to(setting.device))

    def start(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        images = self.setting.first_images(seeds, self.size, objectives)
        if images is not None:
            return self.encode(images)
        shape = self.magnitude.shape
        turns = torch.stack([torch.rand(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        return (2 * torch.pi * (turns - 0.5)).to(self.setting.device)

    def images(self, parameters: Tensor) -> Tensor:
        plane = torch.fft.irfft2(torch.polar(self.magnitude.expand_as(parameters), parameters), s=self.size)
        return (self.mean[:, None, None] + torch.einsum("ck,nkhw->nchw", self.basis, plane)).clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        return torch.fft.rfft2(self._plane(resized(self.setting.checked(images).float(), self.size))).angle()

    def _plane(self, images: Tensor) -> Tensor:
        return torch.einsum("kc,nchw->nkhw", self.inverse, images - self.mean[:, None, None])


def radial_frequencies(size: tuple[int, int]) -> Tensor:
    """Returns the frequency of each coefficient of rfft2 of an (H, W) image, in cycles per pixel, (H, W // 2 + 1)."""
    height, width = size
    return torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :])


def colour_statistics(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the mean colour (C,) and a basis B (C, C) over all pixels of batches (N, C, H, W).

    B B' is the covariance of the colours, so that in colours = mean + B c the c are uncorrelated with unit variance.
    B = V sqrt(Lambda), with V the principal axes.
    """
    count, total, products = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for batch in batches:
        pixels = batch.detach().cpu().double().movedim(1, 0).flatten(1)
        count, total, products = count + pixels.shape[1], total + pixels.sum(1), products + pixels @ pixels.T
    mean = total / count
    values, axes = torch.linalg.eigh(products / count - mean.outer(mean))
    basis = axes * values.clamp_min(1e-8).sqrt()
    return mean.float(), basis.flip(1).float()
