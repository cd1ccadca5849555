"""Attaches a dictionary to the layer of a network that it reads, as one more layer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from dgn.errors import UserError
from dgn.networks.dictionaries.autoencoders import make_autoencoder
from dgn.networks.dictionaries.encoders import Encoder
from dgn.networks.dictionaries.files import read_dictionary
from dgn.networks.dictionaries.name import BEFORE, DictionaryName, dictionary_named
from dgn.networks.dictionaries.plain import make_dictionary
from dgn.networks.dictionaries.settings import Settings, read_settings
from dgn.networks.layers import Layer
from dgn.networks.weights.text import listed


class Network(Protocol):
    """A network with named layers, such as a FeatureNet."""

    @property
    def name(self) -> str: ...

    def layers(self) -> Mapping[str, Layer]: ...

    def layer(self, name: str) -> Layer: ...


@dataclass(frozen=True)
class Attached:
    """A dictionary as a layer of a network.

    Attributes:
        layer: The layer.
        reads: The name of the layer whose activations are its input.
        encoder: What it computes.
    """

    layer: Layer
    reads: str
    encoder: Encoder


class Dictionaries(nn.ModuleList):
    """The dictionaries that are attached to a network, by name; the suffix `:pre` is before the activation function."""

    def __init__(self) -> None:
        super().__init__()
        self.attached: dict[str, Attached] = {}

    def open(self, layer: str, network: Network, device: torch.device) -> None:
        """Attaches the dictionary in the name of a layer, if there is one and it is not attached yet.

        Raises:
            UserError: As `attach`.
        """
        name = dictionary_named(layer)
        if name is None or str(name) in self.attached:
            return
        new = attach(name, network)
        self.append(new.encoder.to(device))
        for suffix in ["", BEFORE] if new.encoder.sparse else [""]:
            self.attached[str(name) + suffix] = replace(new, layer=replace(new.layer, name=str(name) + suffix))

    def before(self, name: str) -> str:
        """Returns the layer before the activation function of a dictionary; the dictionary itself if it has none."""
        return name + BEFORE if name + BEFORE in self.attached else name


def attach(name: DictionaryName, network: Network) -> Attached:
    """Opens a dictionary and finds the layer that it reads.

    Raises:
        UserError: If the file cannot be read, if nothing says which layer it reads, or if that has another number of
            units.
    """
    encoder, settings = open_encoder(name)
    reads = _layer_read(name, settings, encoder.width, network)
    if reads.units != encoder.width:
        raise UserError(
            f"{name.file} reads {encoder.width} units, and {reads.name} of {network.name} has {reads.units}"
            + _of_width(encoder.width, network)
        )
    if len(reads.shape) not in (1, 2, 3):
        raise UserError(
            f"{reads.name} has activations of shape {reads.shape}; dictionaries read vectors, maps or tokens"
        )
    return Attached(replace(reads, name=str(name), shape=_shape(reads, encoder), kind="Dictionary", same_as=""),
                    reads.name, encoder)  # fmt: skip


def open_encoder(name: DictionaryName) -> tuple[Encoder, Settings]:
    """Reads a dictionary; returns what it computes, and the settings that say which layer it reads.

    Raises:
        UserError: If the file cannot be read.
    """
    file = read_dictionary(name.file)
    if name.kind == "sae":
        settings = read_settings(file.config, name)
        return make_autoencoder(file, settings, name), settings
    hint = file.config.get("layer")
    return make_dictionary(file, name), Settings(layer=hint if isinstance(hint, str | int) else None)


def _shape(reads: Layer, encoder: Encoder) -> tuple[int, ...]:
    if len(reads.shape) == 3:
        return (encoder.latents, *reads.shape[1:])
    return (*reads.shape[:-1], encoder.latents)


def _layer_read(name: DictionaryName, settings: Settings, width: int, network: Network) -> Layer:
    """Returns the layer that the name's option gives, else the one that the dictionary's configuration means."""
    given = name.option("layer")
    if given is not None:
        return network.layer(given)
    hint = settings.layer
    found = [] if hint is None else _meant(hint, network)
    fitting = [layer for layer in found if layer.units == width] or found
    if len(fitting) == 1:
        (layer,) = fitting
        return network.layer(f"{layer.name}:class") if settings.class_token and len(layer.shape) == 2 else layer
    says = "does not say which layer it reads" if hint is None else f"says that it reads {hint!r}"
    if fitting:
        says += f", which may be {listed(layer.name for layer in fitting)} of {network.name}"
    elif hint is not None:
        says += f", and {network.name} has no such layer"
    raise UserError(f"{name.file} {says}: name the layer, as in {name.with_option('layer', 'NAME')}"
                    + _of_width(width, network))  # fmt: skip


def _meant(hint: str | int, network: Network) -> list[Layer]:
    """Returns the layers that a configuration may mean: by its name, a block's number, or TransformerLens' name."""
    layers = network.layers()
    if isinstance(hint, str) and hint in layers:
        return [layers[hint]]
    if isinstance(hint, str) and not hint.isdecimal():
        hook = re.fullmatch(r"blocks\.(\d+)\.(\w+)", hint)
        if hook is None or hook[2] not in _HOOKS:
            return []
        number, ending = hook[1], _HOOKS[hook[2]]
    else:
        number, ending = str(hint), ""
    block = re.compile(rf"(?:.*[._])?(?:blocks|resblocks|layers|layer|encoder_layer|h)[._]{number}")
    found = [name for name, layer in layers.items() if layer.plain and len(layer.shape) == 2 and block.fullmatch(name)]
    blocks = [layers[name + ending] for name in found if name + ending in layers]
    if not blocks and str(hint) in layers:  # a number that is a layer's name, as in nn.Sequential
        return [layers[str(hint)]]
    return blocks


_HOOKS = {"hook_resid_post": "", "hook_resid_pre": ":input", "hook_mlp_out": ".mlp", "hook_attn_out": ".attn"}
"""TransformerLens' places in a block, and what follows the block's name in the network's own."""


def _of_width(width: int, network: Network) -> str:
    """Names the layers with as many units as a dictionary reads, for a message."""
    fitting: Sequence[str] = [name for name, layer in network.layers().items() if layer.plain and layer.units == width]
    if not fitting:
        return f"; no layer of {network.name} has {width} units"
    return f"; layers with {width} units: {listed(fitting, 8)}"
