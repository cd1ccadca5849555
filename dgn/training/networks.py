"""The four networks of a training: E, G, D and C."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator_base import Generator


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
        half_factors: {layer: factor} of these scales at half the side (`dgn.training.progressive.half_factors`).
    """

    encoder: FeatureNet
    layer: str
    generator: Generator
    discriminator: Critic | None
    comparator: FeatureNet | None
    comparator_layers: Sequence[str]
    feature_scales: Mapping[str, float] = field(default_factory=dict)
    half_factors: Mapping[str, float] = field(default_factory=dict)
