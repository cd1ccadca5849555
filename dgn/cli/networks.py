"""A network from its part of the config, whichever role it has; and the table of its layers."""

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from dgn.cli.built_network import built_network
from dgn.cli.embedded import embedded_weights
from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.runs.ranks import interactive


def network(config: DictConfig, data: ImageData | None = None, image_size: int | None = None) -> FeatureNet:
    """The FeatureNet of an encoder, comparator, target or judge config.

    `weights: embedded` are fitted first where they do not exist yet. data: whose classes and image size the network has
    where neither config nor weights nor the network itself give them. image_size: the same, where there are no data.
    """
    if config.get("weights") == "embedded":
        config = config.copy()
        config.weights = str(embedded_weights(config._target_))
    return built_network(config, data, image_size)


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
        "empty if unknown. Further layers: NAME:input (what enters a module), NAME:class (the class\n"
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
