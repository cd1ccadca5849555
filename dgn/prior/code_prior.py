"""A prior over codes: a denoising autoencoder fitted to the codes of real images (Nguyen et al. 2017, PPGN-h).

Its output is more likely than its input: DAE(y) - y is proportional to the gradient of log p(y) (Alain & Bengio 2014).
It is stored in one file beside the prior to whose codes it was fitted, and is as safe to load.
"""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dgn.devices import double
from dgn.errors import UserError, first_line
from dgn.files import write_whole
from dgn.networks.precision import full_precision
from dgn.prior.generator_prior import Prior
from dgn.prior.prior_file import check_finite
from dgn.runs.programs import command, override

_HEADER, _FORMAT = "dgn_code_prior", 1

SHAPE = (1.0, 1 / 2, 1 / 4, 500 / 4096, 1 / 4, 1 / 2, 1.0)
"""Of the seven fully connected layers, against the code's 4096 units: 4096, 2048, 1024, 500, 1024, 2048, 4096."""
_WIDEST = 4096


class CodeAutoencoder(nn.Module):
    """Seven fully connected layers from codes (N, *code_shape) to codes, which are normalized inside.

    Args:
        code_shape: Shape of one code.
        width: Scales the hidden layers; 1 is the published shape scaled to the code (of at most 4096 units).
        rectified: Whether codes are rectified; outputs are then clamped at 0.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, code_shape: tuple[int, ...], width: float = 1.0, rectified: bool = True) -> None:
        super().__init__()
        self.code_shape, self.width, self.rectified = tuple(int(n) for n in code_shape), width, rectified
        units = math.prod(self.code_shape)
        hidden = [max(8, round(share * width * min(units, _WIDEST))) for share in SHAPE[:-1]]
        sizes = [units, *hidden, units]
        self.layers = nn.Sequential()
        for before, after in itertools.pairwise(sizes):
            self.layers.append(nn.Linear(before, after))
            self.layers.append(nn.LeakyReLU(0.3))
        self.layers.pop(-1)
        self.register_buffer("mean", torch.zeros(self.code_shape))
        self.register_buffer("scale", torch.ones(()))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, a=0.3, nonlinearity="leaky_relu")
                nn.init.zeros_(layer.bias)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets the normalization: all units are divided by the root mean square of their standard deviations.

        Args:
            mean: (*code_shape), means over real images.
            std: (*code_shape), standard deviations over real images.
        """
        self.mean.copy_(mean)
        self.scale.fill_(float(double(std).square().mean().sqrt().clamp_min(1e-12)))

    @full_precision
    def forward(self, codes: Tensor) -> Tensor:
        normalized = ((codes - self.mean) / self.scale).flatten(1)
        denoised = self.layers(normalized).view(codes.shape) * self.scale + self.mean
        return denoised.clamp_min(0) if self.rectified else denoised

    def spec(self) -> dict[str, Any]:
        """Returns plain values from which the constructor builds the same network."""
        return dict(code_shape=list(self.code_shape), width=self.width, rectified=self.rectified)


@dataclass
class CodePrior:
    """A prior over codes.

    Attributes:
        autoencoder: Fitted to the codes of real images.
        about: Plain values: `layer` and `encoder` (its fingerprint) of the codes, `noise`, `data`, `metrics`, `config`.
        source: The file from which it was loaded.
    """

    autoencoder: CodeAutoencoder
    about: dict[str, Any] = field(default_factory=dict)
    source: str = "code prior"

    def denoise(self, codes: Tensor) -> Tensor:
        """Maps codes (N, *code_shape) to more likely ones."""
        return self.autoencoder(codes)

    def to(self, device: torch.device | str) -> "CodePrior":
        self.autoencoder.to(device)
        return self

    def fits(self, prior: Prior) -> bool:
        """Whether it was fitted to the prior's codes: same encoder and same layer."""
        return self.about == {**self.about, **_code_identity(prior)}

    def check(self, prior: Prior) -> None:
        """Raises UserError unless it fits the prior."""
        if not self.fits(prior):
            raise UserError(
                f"{self.source} was fitted to other codes than those of {prior.source} (layer {prior.layer}); fit one "
                f"with `{command('train', 'task=code_prior', override('prior', prior.source))}`"
            )

    def save(self, path: str | Path) -> None:
        """Writes the file atomically."""
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in self.autoencoder.state_dict().items()}
        header = {"format": _FORMAT, "autoencoder": self.autoencoder.spec(), "about": self.about}
        write_whole(path, save(tensors, metadata={_HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: str | Path) -> "CodePrior":
        """Reads a file. Raises UserError for one that is missing, truncated, foreign or inconsistent."""
        if not Path(path).is_file():
            raise UserError(
                f"no code prior {path}; `{command('train', 'task=code_prior')}` makes one and prints its path last"
            )
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError, OSError, RecursionError) as error:
            raise UserError(f"{path} cannot be read as a code prior: {error}") from None
        if not isinstance(header, Mapping) or header.get("format") != _FORMAT:
            raise UserError(f"{path} is not a code prior; `{command('train', 'task=code_prior')}` creates one")
        try:
            with torch.device("meta"):  # allocates nothing before the file is validated
                autoencoder = CodeAutoencoder(**header["autoencoder"])
            autoencoder.load_state_dict(tensors, assign=True)
            about = dict(header["about"])
            check_finite(path, tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise UserError(f"{path} is damaged: {first_line(error)}") from None
        return cls(autoencoder.requires_grad_(False).eval(), about, str(path))


def about_codes(prior: Prior) -> dict[str, Any]:
    """The description of a prior's codes that a code prior stores."""
    return _code_identity(prior) | {"data": prior.about.get("data", {})}


def _code_identity(prior: Prior) -> dict[str, Any]:
    return {"layer": prior.layer, "encoder": prior.about["encoder"]["fingerprint"]}
