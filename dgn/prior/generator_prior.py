"""The prior: a generator, the statistics of code units over real images, and metadata of training, in one file.

`prior.safetensors` holds the generator's weights (`generator.*`), the code statistics (`statistics.*`), the code model
(`code_model.*`), for small encoders the encoder's weights (`encoder.*`), and a JSON header. Loading it executes no
code: there is no pickle, and the header only names builders.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from dgn.data.images import as_images
from dgn.data.size import ImageSize
from dgn.devices import moved
from dgn.errors import Unavailable, UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator_base import Generator
from dgn.networks.generator_kinds import build_generator
from dgn.networks.weights.text import short
from dgn.prior.clamping import clamp
from dgn.prior.code_model import CodeModel, read_code_model, to_codes
from dgn.prior.encoder import build_encoder
from dgn.prior.hub import fetch, is_shared
from dgn.prior.noise import NoiseCodes, read_noise
from dgn.prior.principal import PrincipalAxes
from dgn.prior.prior_file import (
    FORMAT,
    HEADER,
    check_about,
    check_finite,
    check_kinds,
    check_shapes,
    halved,
    read_file,
    split_parts,
)
from dgn.prior.statistics import UnitStatistics, statistics_shapes
from dgn.prior.training_checkpoint import read_checkpoint


@dataclass
class Prior:
    """A generator network as a prior: G_l, with what is known of the codes that it takes.

    Attributes:
        generator: G_l, from codes to image space.
        statistics: Of the code's units over real images.
        about: Plain values: `layer` (of the encoder), `encoder` ({spec, fingerprint, name}), `data`, `training`,
            `metrics`, `config`.
        code_model: A model of the codes of real images along their principal axes, from which `sample` draws; None: no
            such model was fitted.
        noise: The noise that the generator was trained on, if it is an imported one without an encoder.

    The encoder, the network that the codes come from, is given by `Prior.encoder_net` once it is known.
    """

    generator: Generator
    statistics: UnitStatistics
    about: dict[str, Any]
    encoder_tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)
    source: str = "prior"
    code_model: CodeModel | None = None
    noise: NoiseCodes | None = None
    _encoder: FeatureNet | None = field(default=None, repr=False)
    _offered: list[FeatureNet] = field(default_factory=list, repr=False)

    @property
    def layer(self) -> str:
        """The encoder's layer that the generator inverts."""
        return self.about["layer"]

    @property
    def code_shape(self) -> tuple[int, ...]:
        return self.generator.code_shape

    @property
    def image_size(self) -> ImageSize:
        """The side of its images in pixels, or (height, width)."""
        return self.generator.image_size

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of its images."""
        return self.generator.image_shape

    @property
    def device(self) -> torch.device:
        return self.generator.code_mean.device

    def to(self, device: torch.device | str) -> "Prior":
        """Moves the generator (and the encoder, once built); returns the prior."""
        self.generator.to(device)
        if self.code_model is not None:
            self.code_model.to(device)
        if self._encoder is not None:
            self._encoder.to(device)
        return self

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, *code_shape) -> images (N, *image_shape) in image space, in [0, 1].

        Differentiable; a black or white pixel passes the gradient that leads back from it (`dgn.prior.clamping`).
        """
        return clamp(self.generator(codes), 0, 1)

    @property
    def principal(self) -> PrincipalAxes | None:
        """The principal axes of real codes, on the prior's device; None in files of before they were fitted."""
        axes = self.statistics.principal
        return None if axes is None else axes.to(self.device)

    def bounds(self, sigmas: float = 3.0) -> tuple[Tensor, Tensor]:
        """(low, high) of every code unit, each (*code_shape).

        [0, mean + sigmas * std] for rectified codes, mean -+ sigmas * std for others (Nguyen et al. 2016, 2.4).
        """
        low, high = self.statistics.bounds(sigmas)
        return low.to(self.device), high.to(self.device)

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes (count, *code_shape) from the code model or the noise; without one, as `sample_units` does.

        Args:
            count: The number of codes.
            seed: Of the random numbers.
            generator: Gives the random numbers instead; on the CPU.
        """
        generator = torch.Generator().manual_seed(seed) if generator is None else generator
        if self.noise is not None:
            return self.noise.sample(count, generator).to(self.device)
        if self.code_model is None:
            return self.sample_units(count, seed, generator)
        return to_codes(self.code_model.sample(count, generator), self.code_axes, self.statistics.rectified)

    def sample_units(self, count: int, seed: int = 0, generator: torch.Generator | None = None) -> Tensor:
        """Samples codes (count, *code_shape) from each unit's normal distribution, clipped to its bounds.

        Units are sampled independently, unlike in real codes: samples are starting points of a search rather than
        realistic images. Arguments as for `sample`.
        """
        generator = torch.Generator().manual_seed(seed) if generator is None else generator
        noise = torch.randn((count, *self.code_shape), generator=generator)
        codes = (self.statistics.mean + self.statistics.std * noise).to(self.device)
        return torch.maximum(torch.minimum(codes, self.bounds()[1]), self.bounds()[0])

    @property
    def code_axes(self) -> PrincipalAxes:
        """The principal axes of the code model's coordinates, on the prior's device."""
        assert self.code_model is not None  # callers ask for it
        assert self.principal is not None  # a code model has axes
        return self.principal.strongest(self.code_model.count)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in image space, or what `as_images` takes -> codes (N, *code_shape).

        Works where the encoder is available.
        """
        net, images = self.encoder_net(), moved(as_images(images), self.device)
        try:
            return net(images, [self.layer])[self.layer].float()
        except UserError as error:
            raise UserError(f"{self.source}: {error}") from None

    def encoder_net(self) -> FeatureNet:
        """Returns the network that this prior inverts, verified by its fingerprint.

        Raises:
            UserError: If it is not available; the message explains how to name it, as custom code is not in the file.
        """
        if self._encoder is None:
            known = self.about["encoder"]
            offered = [net for net in self._offered if net.fingerprint() == known["fingerprint"]]
            self._encoder = (
                offered[0]
                if offered
                else build_encoder(known, self.encoder_tensors, self.source, self.device, self.generator.own_code)
            )
        return self._encoder

    def encoder_is(self, net: FeatureNet) -> bool:
        """Whether `net` is the network that this prior inverts."""
        return net is self._encoder or net.fingerprint() == self.about["encoder"]["fingerprint"]

    def offer(self, net: FeatureNet) -> None:
        """Takes `net` as the encoder if it is the network that this prior inverts.

        For a network made by the user's own code, which no file runs by itself.
        """
        self._offered.append(net)

    def save(self, path: str | Path, half: bool = False) -> None:
        """Writes the prior file atomically. half: with matrices and filters in float16, in half the size."""
        tensors = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        statistics = {k: v for k, v in vars(self.statistics).items() if isinstance(v, Tensor)}
        tensors |= {f"statistics.{k}": v for k, v in statistics.items()}
        tensors |= {f"encoder.{k}": v for k, v in self.encoder_tensors.items()}
        if self.code_model is not None:
            tensors |= {f"code_model.{k}": v for k, v in self.code_model.state_dict().items()}
        if self.noise is not None:
            tensors |= {f"noise.{k}": v for k, v in self.noise.tensors().items()}
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        header = {"format": FORMAT, "generator": self.generator.spec(), "count": self.statistics.count}
        header["about"] = self.about
        if self.code_model is not None:
            header["code_model"] = self.code_model.spec()
        if self.noise is not None:
            header["noise"] = self.noise.spec()
        write_whole(path, save(halved(tensors) if half else tensors, metadata={HEADER: json.dumps(header)}))

    @classmethod
    @torch.inference_mode(False)  # weights made under it would be of no use to autograd
    def load(cls, path: str | Path, device: torch.device | str = "cpu", code: Sequence[str] = ()) -> "Prior":
        """Reads a prior file.

        Args:
            path: The file, or `hf:` or `wandb:` and a name there (`dgn.prior.hub`).
            device: Where it computes.
            code: The user's own code that may be run, if the file's generator is a custom one: its
                `path/to/file.py:callable` or `package.module:callable`.

        Raises:
            UserError: For a file that is missing, truncated, foreign or inconsistent.
            Unavailable: If its generator is code that is not named, or needs a library that is not installed.
        """
        if is_shared(path):
            return cls._load_shared(str(path), device, code)
        header, tensors = read_file(Path(path))
        try:
            spec, about, count = header["generator"], dict(header["about"]), int(header["count"])
            with torch.device("meta"):  # nothing is allocated before the file is seen to hold it
                generator = build_generator(spec, code)
            check_about(about)
            code_model = read_code_model(header, tensors)
            noise = read_noise(header, tensors, generator.code_shape)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            raise UserError(f"{path} is damaged: its header does not describe a prior ({short(repr(error))})") from None
        except Unavailable as error:
            raise Unavailable(f"{path}: {error}") from None
        except UserError as error:
            raise UserError(f"{path} is damaged: {error}") from None
        parts = split_parts(tensors)
        shapes = {k: v.shape for k, v in generator.state_dict().items()}
        check_shapes(path, parts["generator"], shapes, generator.own_code)
        check_kinds(path, parts["generator"], generator.state_dict())
        check_shapes(path, parts["statistics"], statistics_shapes(parts["statistics"], generator.code_mean.shape))
        check_finite(path, tensors)
        generator.load_state_dict(parts["generator"], assign=True)
        generator.requires_grad_(False).eval()
        statistics = UnitStatistics(**parts["statistics"], count=count)
        prior = cls(generator, statistics, about, parts["encoder"], str(path), code_model, noise)
        prior.generator.to(memory_format=torch.channels_last)
        return prior.to(device)

    @classmethod
    def _load_shared(cls, name: str, device: torch.device | str, code: Sequence[str]) -> "Prior":
        path = fetch(name)
        try:
            prior = cls.load(path, device, code)
        except Unavailable:
            raise
        except UserError as error:
            raise UserError(
                f"prior={name}: the shared file cannot be read as a prior ({error}); ask its author, or "
                f"remove {path} if its download was incomplete"
            ) from None
        prior.source = name
        return prior

    @classmethod
    @torch.inference_mode(False)
    def from_checkpoint(cls, path: str | Path, device: torch.device | str = "cpu", code: Sequence[str] = ()) -> "Prior":
        """Returns the prior of a training run's checkpoint. Arguments and errors as of `load`."""
        return cls(*read_checkpoint(path, code)).to(device)
