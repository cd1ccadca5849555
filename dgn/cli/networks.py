"""Builds a network of any role from its part of the config, and prints the table of its layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import MISSING
from rich.console import Console
from rich.table import Table

from dgn.cli.built_network import built_network
from dgn.cli.config import keys_without_value
from dgn.cli.embedded import embedded_weights
from dgn.data.datamodule import ImageData
from dgn.data.size import image_size, sides
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.layers import Layer
from dgn.runs.ranks import interactive


def network(
    settings: Mapping[str, Any],
    data: ImageData | None = None,
    image_shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] = (),
) -> FeatureNet:
    """Returns the FeatureNet of the settings of an encoder, comparator, target or judge.

    Weights with `weights: embedded` are trained first if they do not exist yet.

    Args:
        settings: The network's part of the config.
        data: Provides the classes and the image size if neither the settings, the weights nor the network define them.
        image_shape: (channels, height, width) of the images, if it is not that of the data.
        classes: The classes, if there are no data.
    """
    if settings.get("weights") == "embedded":
        settings = {**settings, "weights": str(embedded_weights(settings["_target_"]))}
    return built_network(settings, data, image_shape, classes)


def asked_to_list(config: Mapping[str, Any], *roles: str) -> str | None:
    """Returns the first of the roles with layers=list; None if there is none.

    Raises:
        UserError: If a role has `layers` that it does not accept.
    """
    for role in roles:
        layers = config[role].get("layers")
        if layers == "list":
            if role == "judge" and not config[role].get("_target_"):
                raise UserError(f"{role}.layers=list: no {role} is named; give {role}=torchvision or another")
            return role
        if layers is not None and role != "comparator":
            raise UserError(f"{role}.layers={layers}: give list, to print them; one layer is {role}.layer=NAME")
    return None


def list_layers(config: Mapping[str, Any], role: str) -> None:
    """Prints the layers of a training config's encoder or comparator."""
    settings = without_weights(config[role] if config[role].get("_target_") else config["encoder"])
    data = config["data"]
    try:
        net = network(settings, image_shape=_shape(data))
    except UserError:
        if keys_without_value(data):
            raise
        net = network(settings, instantiate(data))  # the network may need the classes of the data
    print_layers(net, role)


def _shape(data: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """The shape of the images of a config's data, as far as it says it without being opened."""
    size = data.get("image_size")
    return None if size is None else (data.get("channels") or 3, *sides(image_size(size)))


def without_weights(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the settings of a network to be listed: weights that are not given do not matter for its layers."""
    return {**settings, "weights": None} if settings.get("weights") == MISSING else settings


def print_layers(net: FeatureNet, role: str = "target") -> None:
    """Prints the layers with name, shape of the activations, number of units, receptive field and type of module.

    The role's default layer and layers of modules that are called several times are marked.
    """
    default = _default_layer(net, role)
    table = Table(title=f"layers of {net.name}", title_justify="left")
    for heading in ("layer", "also", "shape", "units", "sees", "stride", "module", ""):
        right = heading in ("units", "sees", "stride")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    aliases: dict[str, list[str]] = {}
    for alias, name in net.aliases.items():
        aliases.setdefault(name, []).append(alias)
    for name, layer in net.layers().items():
        if ":input" not in name and "@" not in name:
            shape = "x".join(map(str, layer.shape))
            also = ", ".join(aliases.get(name, []))
            remarks = [_default_mark(name, default), _calls(layer)]
            remark = ", ".join(filter(None, remarks))
            table.add_row(name, also, shape, str(layer.units), *_field(net, name), layer.kind, remark)
    console = Console(width=None if interactive() else 160)
    console.print(table)
    print(
        "sees, stride: size of the receptive field and distance between neighbouring ones, in pixels of the\n"
        "network's input; empty if unknown. Further layers: NAME:input (a module's input), NAME:class (the\n"
        "class token), NAME:mean (mean over all positions), NAME@0 (a module's first call)."
    )
    if default:
        print(f"Default: {role}.layer={default}")


def _default_layer(net: FeatureNet, role: str) -> str:
    """Returns the layer that a role reads if none is named; "" if the network has none."""
    try:
        if role == "encoder":
            return net.code_layer()
        return net.trunk() if role == "comparator" else net.class_layer()
    except UserError:
        return ""


def _default_mark(name: str, default: str) -> str:
    if name == default:
        return "default"
    return "its input is the default" if f"{name}:input" == default else ""


def _calls(layer: Layer) -> str:
    """Names the calls of a module that is called several times in a forward pass."""
    return f"last of {layer.calls} calls: @0 .. @{layer.calls - 1}" if layer.calls > 1 else ""


def _field(net: FeatureNet, layer: str) -> tuple[str, str]:
    field = net.receptive_field(layer)
    if field is None or not field.exact:
        return "", ""
    if field.everywhere:
        return "all", ""
    return _pair(field.size), _pair(field.stride)


def _pair(values: tuple[float, float]) -> str:
    low, high = (f"{value:g}" for value in values)
    return low if low == high else f"{low}x{high}"
