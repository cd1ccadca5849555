"""The two networks that a prior's training uses and does not change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from dgn.devices import placed
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check


@dataclass(frozen=True)
class FixedNetworks:
    """The encoder E and the comparator C, with the layers that are used.

    Attributes:
        encoder: E.
        layer: the layer of E to invert.
        own_comparator: C; None: E is the comparator, so that one pass over real images gives codes and features.
        comparator_layers: the layers of C whose features are compared.
    """

    encoder: FeatureNet
    layer: str
    own_comparator: FeatureNet | None
    comparator_layers: Sequence[str]

    @property
    def comparator(self) -> FeatureNet:
        """C, which may be E."""
        return self.encoder if self.own_comparator is None else self.own_comparator

    def to(self, device: torch.device) -> "FixedNetworks":
        """Moves both networks to a device."""
        own = None if self.own_comparator is None else placed(self.own_comparator, device)
        return replace(self, encoder=placed(self.encoder, device), own_comparator=own)

    def check(self, feature_weight: float) -> None:
        """Checks that E and C can take their roles (`dgn.networks.usable`).

        Args:
            feature_weight: the weight of the feature loss. If it is 0, nothing is learned from C, which is not checked.

        Raises:
            UserError: If a network cannot take its role.
        """
        check(self.encoder, "encoder", [self.layer])
        if feature_weight > 0:
            check(self.comparator, "comparator", list(self.comparator_layers))
