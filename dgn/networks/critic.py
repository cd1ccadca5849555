"""The base class of discriminators: they score pairs of real and generated images."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Critic(nn.Module, ABC):
    """A discriminator D as the training step uses it.

    Attributes:
        layers: The layers of the comparator whose features D sees; () for a D of pixels.
    """

    layers: tuple[str, ...] = ()

    @abstractmethod
    def seen(self, images: Tensor, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns what D sees of images.

        Args:
            images: (N, 3, S, S) in image space.
            features: The comparator's features of these images, {layer: (N, ...)}.
        """

    @abstractmethod
    def judge(
        self, real: Sequence[Tensor], generated: Sequence[Tensor], codes: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Scores real and generated images; larger scores are more real.

        Args:
            real: What `seen` returns for real images.
            generated: The same for the generated images, which are reconstructions of these real images.
            codes: (N, *code_shape), normalized as G normalizes them.

        Returns:
            The scores of the real and of the generated images, each a list over D's heads of (N, positions).
        """
