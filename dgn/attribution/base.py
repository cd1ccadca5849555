"""What every attribution method has in common."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

Channels = Literal["max", "sum", "absolute"]
"""How the colour channels of an attribution become one map: the largest absolute value, the signed sum, or the sum of
absolute values."""


class Attribution(Protocol):
    """A method that says which pixels of an image an objective depends on.

    Attributes:
        channels: How its colour channels become one map.
        signed: Whether the map has negative values, where the image speaks against the unit.
        colour: Whether the attribution of the three channels is itself a picture, as with guided backpropagation.
        zero: What a map that is 0 everywhere says.
    """

    channels: Channels
    colour: bool
    zero: ClassVar[str]

    @property
    def signed(self) -> bool: ...

    def __call__(self, net: FeatureNet, objective: Objective, images: Tensor) -> Tensor:
        """Returns the attribution of every pixel.

        Args:
            net: The network.
            objective: The objective.
            images: (N, 3, H, W) in image space, as the network sees them (`dgn.metrics.top_images.at_input`).

        Returns:
            (N, 3, H, W), or (N, 1, H, W) from methods that do not tell colours apart.

        Raises:
            UserError: If the network has no such reading.
        """


def reduced(attributions: Tensor, channels: Channels) -> Tensor:
    """Returns maps (N, H, W) of attributions (N, C, H, W).

    Args:
        attributions: The attributions.
        channels: How channels are combined: "max" (the largest absolute value; saliency, Simonyan et al. 2013, section
            3.1), "sum" (signed) or "absolute" (the sum of absolute values).
    """
    if channels == "max":
        return attributions.abs().amax(1)
    return attributions.sum(1) if channels == "sum" else attributions.abs().sum(1)


@dataclass(frozen=True)
class ColourAttribution:
    """Settings of the methods that attribute to each colour channel.

    Attributes:
        channels: How colour channels become one map.
        colour: Whether the three channels are shown as a picture.

    Raises:
        UserError: For another way to combine channels.
    """

    channels: Channels = "max"
    colour: bool = False
    zero: ClassVar[str] = "nothing of the unit reaches the pixels"

    def __post_init__(self) -> None:
        if self.channels not in ("max", "sum", "absolute"):
            raise UserError(
                f"channels={self.channels}: give max (the largest absolute value), sum (with signs) or absolute (the "
                "sum of absolute values)"
            )

    @property
    def signed(self) -> bool:
        return self.channels == "sum"
