"""Autoencoders that others trained, through Diffusers' own classes: encoders as networks, decoders as modules.

The extra `rae` installs Diffusers and Transformers. A file names one of the classes below and holds its configuration;
the classes come from the installed library, and no file contains code.
"""

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from dgn.errors import Unavailable, UserError, first_line
from dgn.networks.encoder_names import common_name
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.siglip import known_to_diffusers

LATENT = "latent"
"""The layer of an encoder whose activations are the latent codes."""
INSTALL = "pip install 'dgn[rae]'"


@dataclass(frozen=True)
class Family:
    """How the autoencoders of one of Diffusers' classes are used.

    Attributes:
        encode: (model, images in its own range) -> latents.
        space: The conversion between image space and the class's images.
        config_of: {buffer: the configuration's key that gives its shape}, for values that are kept as tensors.
    """

    encode: Callable[[Any, Tensor], Tensor]
    space: InputSpace
    config_of: Mapping[str, str]


_SIGNED = InputSpace(mean=(0.5,) * 3, std=(0.5,) * 3)
"""Images in [-1, 1]."""

FAMILIES: Mapping[str, Family] = {
    "AutoencoderRAE": Family(
        lambda model, images: model.encode(images).latent,
        InputSpace(),
        {"_latents_mean": "latents_mean", "_latents_std": "latents_std"},
    ),
    "AutoencoderKL": Family(lambda model, images: model.encode(images).latent_dist.mode(), _SIGNED, {}),
    "AsymmetricAutoencoderKL": Family(lambda model, images: model.encode(images).latent_dist.mode(), _SIGNED, {}),
    "AutoencoderDC": Family(lambda model, images: model.encode(images).latent, _SIGNED, {}),
    "AutoencoderTiny": Family(lambda model, images: model.encode(images).latents, _SIGNED, {}),
    "VQModel": Family(lambda model, images: model.encode(images).latents, _SIGNED, {}),
}
"""The classes of Diffusers that a prior file may name."""

_ENCODING, _DECODING = ("encoder", "quant_conv"), ("decoder", "post_quant_conv", "quantize")
"""The parts of the models that only one of the two ways uses."""


def model_class(name: str) -> Any:
    """Returns a class of Diffusers.

    Raises:
        UserError: If it is none of `FAMILIES`.
        Unavailable: If Diffusers, or what it needs for this class, is not installed or too old.
    """
    if name not in FAMILIES:
        raise UserError(f"{name!r} is no autoencoder that dgn can use; there are: {', '.join(FAMILIES)}")
    try:
        if name == "AutoencoderRAE":
            importlib.import_module("transformers")  # its encoders are
        library = importlib.import_module("diffusers")
        return getattr(library, name)
    except ModuleNotFoundError as error:
        raise Unavailable(f"{name} needs {error.name}, which is not installed: {INSTALL}") from None
    except AttributeError:
        raise Unavailable(f"diffusers {library.__version__} has no {name}; a newer one has: {INSTALL}") from None
    except (
        ImportError,
        RuntimeError,
    ) as error:  # Diffusers imports a class, and all that it needs, when it is asked for
        raise unfit_versions(name, _first_cause(error)) from None


def unfit_versions(name: str, error: BaseException) -> Unavailable:
    """Returns the error for installed libraries that cannot make a class."""
    versions = " and ".join(map(_versioned, ("diffusers", "transformers")))
    return Unavailable(
        f"{name} cannot be made by {versions} ({first_line(error)}); other versions may fit each other "
        "(docs/decoders.md)"
    )


def _versioned(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"no {library}"


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def model_config(model: Any) -> dict[str, Any]:
    """Returns the configuration of a model of Diffusers: the arguments of its class, without what that derives."""
    known = inspect.signature(type(model)).parameters
    return {key: value for key, value in dict(model.config).items() if key in known}


def split_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the plain values of a model's configuration, without those that its buffers hold."""
    held = FAMILIES[name].config_of.values()
    return {key: value for key, value in config.items() if not key.startswith("_") and key not in held}


def empty_model(name: str, config: Mapping[str, Any], buffers: Mapping[str, Sequence[int]]) -> nn.Module:
    """Builds a model without memory for its weights (on the device "meta").

    All of its buffers are in its state dict, also those that it would compute when it is built.

    Args:
        name: A key of `FAMILIES`.
        config: As `split_config` returns it.
        buffers: {name: shape} of the buffers in `Family.config_of`.

    Raises:
        UserError: If the configuration does not fit the class, or as of `model_class`.
    """
    kind = model_class(name)
    try:
        with torch.device("meta"), known_to_diffusers():
            model: nn.Module = kind(**split_config(name, config))
            for buffer in FAMILIES[name].config_of:
                if buffer in buffers:
                    model.register_buffer(buffer, torch.zeros(list(buffers[buffer])))
    except AttributeError as error:  # parts of an encoder have other names in some versions of Transformers
        raise unfit_versions(name, error) from None
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"its configuration does not describe a {name} ({first_line(error)})") from None
    keep_buffers(model)
    return model.requires_grad_(False).eval()


def keep_buffers(model: nn.Module) -> None:
    """Puts all buffers into the module's state dict, so that a file holds them."""
    for module in model.modules():
        module._non_persistent_buffers_set.clear()


def buffer_shapes(name: str, model: nn.Module) -> dict[str, list[int]]:
    """Returns {name: shape} of the buffers whose values stand in the configuration."""
    return {buffer: list(model.get_buffer(buffer).shape) for buffer in FAMILIES[name].config_of}


def decoder_part(model: nn.Module) -> nn.Module:
    """Returns the model without what only encoding needs; the other weights are shared."""
    return _without(model, _ENCODING)


class LatentEncoder(nn.Module):
    """The encoder of an autoencoder: images in the model's range -> latents, the output of the module `latent`.

    The names in its state dict, and so in a prior file, do not depend on the version of Transformers.
    """

    def __init__(self, model: nn.Module, family: Family) -> None:
        super().__init__()
        self.model = model
        self.latent = nn.Identity()
        self._encode = family.encode
        self.register_state_dict_post_hook(_with_common_names)

    def forward(self, images: Tensor) -> Tensor:
        latents: Tensor = self.latent(self._encode(self.model, images))
        return latents


def _with_common_names(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}model.encoder.")]:
        state[common_name(name)] = state.pop(name)


def encoder_net(name: str, model: nn.Module, image_size: int) -> FeatureNet:
    """Returns the encoder of a model as a network; its codes are the layer `latent`.

    Images of another size are resized to that of the decoder's images; the class itself does what its encoder needs
    from there.
    """
    return _net(name, model, split_config(name, model_config(model)), buffer_shapes(name, model), image_size)


def autoencoder(
    name: str, config: Mapping[str, Any], buffers: Mapping[str, Sequence[int]], image_size: int, **_: Any
) -> FeatureNet:
    """Builds the encoder of an autoencoder from what a prior file says. Its weights, in the file, must be loaded."""
    model = _without(empty_model(name, config, buffers), _DECODING).to_empty(device="cpu")
    return _net(name, model, config, buffers, image_size)


def _net(
    name: str, model: nn.Module, config: Mapping[str, Any], buffers: Mapping[str, Sequence[int]], image_size: int
) -> FeatureNet:
    spec = {
        "builder": "autoencoder", "name": name, "config": dict(config), "buffers": dict(buffers),
        "image_size": image_size, "classes": 0, "weights": None,
    }  # fmt: skip
    family = FAMILIES[name]
    network = LatentEncoder(_without(model, _DECODING), family)
    return FeatureNet(network, family.space.overridden(input_size=image_size), name, spec=spec)


def _without(model: nn.Module, parts: Sequence[str]) -> nn.Module:
    part = copy.copy(model)
    part._modules = {name: None if name in parts else module for name, module in model._modules.items()}
    return part
