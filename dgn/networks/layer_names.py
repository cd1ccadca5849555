"""Names of layers: aliases, the suffixes `:class` and `:mean`, and the message for a name that no layer has."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.layers import Layer
from dgn.runs.programs import command

POOLS = ("class", "mean")
"""Suffixes of layer names that reduce a map or tokens to a vector."""
SCRIPT = "a TorchScript module shows its output alone; give the Python module to see its layers"


@dataclass(frozen=True)
class LayerNames:
    """The names by which a network's layers can be called.

    Args:
        layers: The layers by name.
        aliases: Additional names.
    """

    layers: Mapping[str, Layer]
    aliases: Mapping[str, str]

    def find(self, name: str) -> Layer | None:
        """Returns the layer of a name; None if there is none.

        Raises:
            UserError: If the name's suffix does not suit the layer's shape.
        """
        canonical = self.canonical(name)
        layer = self.layers.get(self.base(canonical))
        if layer is None or layer.name == canonical:
            return layer
        how = canonical.rpartition(":")[2]
        if len(layer.shape) == 1 or (how == "class" and len(layer.shape) != 2):
            what = "tokens" if how == "class" else "tokens or a map"
            raise UserError(
                f"{canonical}: {how} is for {what}, and {layer.name} has activations of shape {layer.shape}"
            )
        return replace(layer, name=canonical, shape=(layer.units,), same_as="")

    def canonical(self, name: str) -> str:
        """Returns a name with its alias replaced by the layer's own name."""
        base, colon, rest = name.partition(":")
        return self.aliases.get(base, base) + colon + rest

    def base(self, canonical: str) -> str:
        """Returns the name without `:class` or `:mean`, unless a module's output has that name."""
        name, _, last = canonical.rpartition(":")
        return name if last in POOLS and canonical not in self.layers else canonical

    def refusal(self, name: str, network: str, module: nn.Module) -> str:
        """Returns the message for a name that no layer has.

        Args:
            name: The name.
            network: The network's name.
            module: The network.
        """
        names = [n for n in (*self.aliases, *self.layers) if ":" not in n and "@" not in n]
        base = self.canonical(name).partition(":")[0].partition("@")[0]
        see = f"see them all with `{command('visualize', 'target.layers=list')}`"
        if base in self.layers:
            kinds = sorted({n[len(base) :] for n in self.layers if n.startswith((base + ":", base + "@"))})
            return f"no layer {name!r} in {network}; of {base} there are: {', '.join([base, *kinds])}, :class, :mean"
        if base in dict(module.named_modules()):
            return (
                f"no layer {name!r} in {network}: a forward pass never calls that module, or it gives no activations "
                f"of images; {see}"
            )
        close = difflib.get_close_matches(name, names, n=4)
        listed = ", ".join(names if len(names) <= 40 else [*names[:12], "...", *names[-4:]])
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        return f"no layer {name!r} in {network}{hint}; layers: {listed}; {see}"


def pooled(activations: Tensor, name: str) -> Tensor:
    """Returns the vector (N, units) of a map or tokens that a name with `:class` or `:mean` means."""
    if name.endswith(":class"):
        return activations[:, 0]
    return activations.mean(1) if activations.ndim == 3 else activations.mean((2, 3))
