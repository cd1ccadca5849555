"""The four networks of a training: E, G, D and C."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator


class Discriminator(Protocol):
    """What a discriminator offers besides being a `torch.nn.Module` (`dgn.networks.discriminator`).

    Attributes:
        layers: The layers of the comparator whose features it sees; () for a discriminator of pixels.
    """

    layers: tuple[str, ...]

    def seen(self, images: Tensor, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns what it sees of images (N, 3, H, W) with the comparator's features {layer: (N, ...)}."""
        ...

    def judge(
        self, real: Sequence[Tensor], generated: Sequence[Tensor], codes: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the scores of real and generated images from what it sees of them, and normalized codes."""
        ...


@dataclass
class Networks:
    """The four networks: encoder E, generator G, discriminator D and comparator C.

    Args:
        encoder: E.
        layer: The layer of E that is inverted.
        generator: G.
        discriminator: D, or None.
        comparator: C. None: E is the comparator, so that one pass over real images gives codes and features.
        comparator_layers: The layers of C whose features are compared.
        feature_scales: {comparator layer: factor} from `dgn.training.losses.feature_scales`.
    """

    encoder: FeatureNet
    layer: str
    generator: UpconvGenerator
    discriminator: Discriminator | None
    comparator: FeatureNet | None
    comparator_layers: Sequence[str]
    feature_scales: Mapping[str, float] = field(default_factory=dict)
