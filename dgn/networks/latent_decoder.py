"""The decoder of an autoencoder that others trained, as a generator: latent codes in, images out."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from dgn.data.size import ImageSize
from dgn.networks.autoencoders import FAMILIES, buffer_shapes, decoder_part, empty_model, model_config, split_config
from dgn.networks.generator_base import Generator


class LatentDecoder(Generator):
    """The decoder of one of Diffusers' autoencoders; its codes are what the class's `decode` takes.

    Args:
        code_shape, image_size, channels: As in `Generator`.
        name: The class, a key of `dgn.networks.autoencoders.FAMILIES`.
        config: Its configuration.
        buffers: {name: shape} of the buffers that the configuration determines.
        model: The model; None: it is built, without memory for its weights, which a prior file holds.

    Raises:
        Unavailable: If Diffusers is not installed.
        UserError: If the configuration does not fit the class.
    """

    kind = "autoencoder"

    def __init__(
        self,
        code_shape: Sequence[int],
        image_size: ImageSize,
        name: str,
        config: Mapping[str, Any],
        buffers: Mapping[str, Sequence[int]],
        normalize_codes: bool = False,
        model: nn.Module | None = None,
        channels: int = 3,
    ) -> None:
        given = FAMILIES.get(name)
        super().__init__(code_shape, image_size, given.space if given else None, normalize_codes, channels)
        self.name, self.config = name, split_config(name, config) if given else {}
        self.buffer_shapes = {key: list(shape) for key, shape in buffers.items()}
        self.uncropped_size = image_size
        self.network: Any = decoder_part(empty_model(name, config, buffers) if model is None else model)

    @classmethod
    def of(cls, name: str, model: nn.Module, code_shape: Sequence[int], image_size: int) -> "LatentDecoder":
        """Returns the decoder of a model, with which it shares weights."""
        return cls(code_shape, image_size, name, model_config(model), buffer_shapes(name, model), model=model)

    def raw(self, codes: Tensor) -> Tensor:
        images: Tensor = self.network.decode(codes).sample
        return images

    def architecture(self) -> dict[str, Any]:
        return {"name": self.name, "config": self.config, "buffers": self.buffer_shapes}

    def spec(self) -> dict[str, Any]:
        return {key: value for key, value in super().spec().items() if key != "output_space"}  # follows from the class
