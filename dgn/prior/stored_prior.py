"""What a prior file and a training's checkpoint hold of a prior, checked against the networks that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.errors import Unavailable, UserError, first_line
from dgn.networks.generator_base import Generator
from dgn.networks.generator_kinds import build_generator
from dgn.networks.weights.paths import check_archive
from dgn.prior.code_model import CodeModel, read_code_model
from dgn.prior.noise import NoiseCodes, read_noise
from dgn.prior.prior_file import check_about, check_finite, check_kinds, check_shapes, read_file, split_parts
from dgn.prior.statistics import UnitStatistics, statistics_shapes


@dataclass(frozen=True)
class StoredPrior:
    """The parts of a prior as they were read; the attributes are those of `dgn.prior.Prior`."""

    generator: Generator
    statistics: UnitStatistics
    about: dict[str, Any]
    encoder_tensors: dict[str, Tensor]
    code_model: CodeModel | None = None
    noise: NoiseCodes | None = None


def from_file(path: Path, code: Sequence[str]) -> StoredPrior:
    """Reads a prior file. Arguments and errors as of `Prior.load`."""
    header, tensors = read_file(path)
    try:
        spec, about, count = header["generator"], dict(header["about"]), int(header["count"])
        generator = _described(spec, code)
        check_about(about)
        code_model = read_code_model(header, tensors)
        noise = read_noise(header, tensors, generator.code_shape)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise UserError(f"{path} is damaged: its header does not describe a prior ({error!r})") from None
    except Unavailable as error:
        raise Unavailable(f"{path}: {error}") from None
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    parts = split_parts(tensors)
    _check(path, generator, parts["generator"], parts["statistics"])
    check_finite(path, tensors)
    statistics = UnitStatistics(**parts["statistics"], count=count)
    return StoredPrior(_filled(generator, parts["generator"]), statistics, about, parts["encoder"], code_model, noise)


def from_checkpoint(path: Path, code: Sequence[str]) -> StoredPrior:
    """Reads the checkpoint of a prior's training. Arguments and errors as of `Prior.load`."""
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        about, state = dict(checkpoint["prior"]["about"]), dict(checkpoint["state_dict"])
        spec, encoder = checkpoint["prior"]["generator"], dict(checkpoint["prior"]["encoder_tensors"])
        statistics = UnitStatistics(**checkpoint["code_statistics"])
        check_about(about)
        generator = _described(spec, code)
        prefix = "average.module." if any(k.startswith("average.module.") for k in state) else "generator."
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        measured = {k: v for k, v in vars(statistics).items() if isinstance(v, Tensor)}
        _check(path, generator, weights, measured)
        check_finite(path, weights | measured)
    except Unavailable as error:
        raise Unavailable(f"{path}: {error}") from None
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path} is damaged: {error}") from None
    except Exception as error:  # torch.load has no closed list of what a foreign file makes it raise
        raise UserError(f"{path} is not a checkpoint of a prior's training: {first_line(error)}") from None
    return StoredPrior(_filled(generator, weights), statistics, about, encoder)


def _described(spec: Any, code: Sequence[str]) -> Generator:
    """Builds the generator that a file describes; it takes no memory before the file is seen to hold its weights."""
    with torch.device("meta"):
        return build_generator(spec, code)


def _check(path: Path, generator: Generator, weights: dict[str, Tensor], statistics: dict[str, Tensor]) -> None:
    expected = generator.state_dict()
    check_shapes(path, weights, {k: v.shape for k, v in expected.items()}, generator.own_code)
    check_kinds(path, weights, expected)
    check_shapes(path, statistics, statistics_shapes(statistics, generator.code_mean.shape))


def _filled(generator: Generator, weights: dict[str, Tensor]) -> Generator:
    generator.load_state_dict(weights, assign=True)
    return generator.requires_grad_(False).eval().to(memory_format=torch.channels_last)
