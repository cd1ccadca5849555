"""A network from its part of the config, whichever role it has; and the table of its layers."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.table import Table

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.tasks.embedded import embedded_weights
from dgn.terminal import interactive

_ROLE_KEYS = ("layer", "layers", "trunk")
"""Keys of a network's config that say what it is used for, not what it is (conf/network/role)."""


def network(config: DictConfig, data: ImageData | None = None, image_size: int | None = None) -> FeatureNet:
    """The FeatureNet of an encoder, comparator, target or judge config. `weights: embedded` are fitted first where
    they are not there yet. data: whose classes and image size it has where neither config nor weights nor the
    network itself say. image_size: the same, where there are no data."""
    config = config.copy()
    with open_dict(config):
        for key in _ROLE_KEYS:
            config.pop(key, None)
        if config.get("weights") == "embedded":
            config.weights = str(embedded_weights(config._target_))
    known: dict[str, Any] = {"data_size": image_size if data is None else data.image_size}
    if data is not None:
        known["data_classes"] = list(data.classes)
    if config.get("classes") == "data":
        if data is None or not data.classes:
            raise UserError("classes=data: there are no data with classes here; give a number, or auto")
        known |= {"classes": len(data.classes), "labels": list(data.classes)}
    try:
        return instantiate(config, **known, _convert_="all")
    except InstantiationException as error:  # Hydra's wrapping of what the builder raised
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def asked_to_list(config: DictConfig, *roles: str) -> str | None:
    """The first of the roles that has layers=list. Raises UserError for layers that a role does not take."""
    for role in roles:
        layers = config[role].get("layers")
        if layers == "list":
            if role == "judge" and not config[role].get("_target_"):
                raise UserError(f"{role}.layers=list: no {role} is named; give {role}=torchvision or another")
            if OmegaConf.is_missing(config[role], "weights"):
                config[role].weights = None  # the layers are the same with any weights
            return role
        if layers is not None and role != "comparator":
            raise UserError(f"{role}.layers={layers}: give list, to print them; one layer is {role}.layer=NAME")
    return None


def list_layers(config: DictConfig, role: str) -> None:
    """Prints the layers of a training config's encoder or comparator."""
    part = config[role] if config[role].get("_target_") else config.encoder
    try:
        net = network(part, image_size=OmegaConf.select(config, "data.image_size"))
    except UserError:
        if OmegaConf.missing_keys(config.data):
            raise
        net = network(part, instantiate(config.data))  # it may be the classes of the data that it needs
    print_layers(net, role)


def print_layers(net: FeatureNet, role: str = "target") -> None:
    """A table of the network's layers: name, shape of the activations, units, receptive field, kind of module."""
    table = Table(title=f"layers of {net.name}", title_justify="left")
    for heading in ("layer", "also", "shape", "units", "sees", "stride", "module"):
        right = heading in ("units", "sees", "stride")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    aliases: dict[str, list[str]] = {}
    for alias, name in net.aliases.items():
        aliases.setdefault(name, []).append(alias)
    for name, layer in net.layers().items():
        if ":input" not in name and "@" not in name:
            shape = "x".join(map(str, layer.shape))
            also = ", ".join(aliases.get(name, []))
            table.add_row(name, also, shape, str(layer.units), *_field(net, name), layer.kind)
    console = Console(width=None if interactive() else 160)
    console.print(table)
    print(
        "sees, stride: receptive field in pixels of the network's input, and how far neighbours' are apart;\n"
        "empty where it cannot be told. Further layers: NAME:input (what enters a module), NAME:class (the class\n"
        "token), NAME:mean (over all positions), NAME@0 (a module's first call)."
    )


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
