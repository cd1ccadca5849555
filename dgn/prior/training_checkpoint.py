"""The prior that a checkpoint of its training holds. The file is untrusted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgn.errors import Unavailable, UserError, first_line
from dgn.networks.generator_base import Generator
from dgn.networks.generator_kinds import build_generator
from dgn.networks.weights.paths import check_archive, weights_file
from dgn.prior.prior_file import check_about, check_finite, check_kinds, check_shapes
from dgn.prior.statistics import UnitStatistics, statistics_shapes


class CheckpointedPrior(NamedTuple):
    """What a checkpoint holds of a prior, as the fields of `dgn.prior.Prior` of the same names."""

    generator: Generator
    statistics: UnitStatistics
    about: dict[str, Any]
    encoder_tensors: dict[str, Tensor]
    source: str


def read_checkpoint(path: str | Path, code: Sequence[str] = ()) -> CheckpointedPrior:
    """Reads a prior from a checkpoint: the averaged generator where the training averaged it.

    Args:
        path: The checkpoint, or a folder with one weights file.
        code: The user's own code that may be run, as for `dgn.prior.Prior.load`.

    Raises:
        UserError: For a file that is missing, truncated, foreign or inconsistent.
        Unavailable: If its generator is code that is not named, or needs a library that is not installed.
    """
    path = weights_file(path)
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        about, state = dict(checkpoint["prior"]["about"]), dict(checkpoint["state_dict"])
        spec, encoder = checkpoint["prior"]["generator"], dict(checkpoint["prior"]["encoder_tensors"])
        statistics = UnitStatistics(**checkpoint["code_statistics"])
        check_about(about)
        with torch.device("meta"):
            generator = build_generator(spec, code)
        prefix = "average.module." if any(k.startswith("average.module.") for k in state) else "generator."
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        measured = {k: v for k, v in vars(statistics).items() if isinstance(v, Tensor)}
        shapes = {k: v.shape for k, v in generator.state_dict().items()}
        check_shapes(path, weights, shapes, generator.own_code)
        check_kinds(path, weights, generator.state_dict())
        check_shapes(path, measured, statistics_shapes(measured, generator.code_mean.shape))
        check_finite(path, weights | measured)
    except Unavailable as error:
        raise Unavailable(f"{path}: {error}") from None
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path} is damaged: {error}") from None
    except Exception as error:  # torch.load has no closed list of what a foreign file makes it raise
        raise UserError(f"{path} is not a checkpoint of a prior's training: {first_line(error)}") from None
    generator.load_state_dict(weights, assign=True)
    generator.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    return CheckpointedPrior(generator, statistics, about, encoder, str(path))
