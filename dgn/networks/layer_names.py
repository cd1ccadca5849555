"""Names of layers: aliases, dictionaries, the suffixes `:class` and `:mean`, and the message for an unknown name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.dictionaries import BEFORE, Attached, canonical
from dgn.networks.layers import Layer
from dgn.runs.programs import command

POOLS = ("class", "mean")
"""Suffixes of layer names that reduce a map or tokens to a vector."""
SCRIPT = "a TorchScript module shows its output alone; give the Python module to see its layers"


@dataclass(frozen=True)
class LayerNames:
    """The names by which a network's layers can be called.

    Args:
        layers: The network's own layers by name.
        aliases: Additional names.
        attached: The dictionaries that read them, by name, and those by the name with the suffix `:pre`.
    """

    layers: Mapping[str, Layer]
    aliases: Mapping[str, str]
    attached: Mapping[str, Attached] = field(default_factory=dict)

    def find(self, name: str) -> Layer | None:
        """Returns the layer of a name; None if there is none.

        Raises:
            UserError: If the name's suffix does not suit the layer's shape.
        """
        canonical = self.canonical(name)
        base = self.base(canonical)
        attached = self.attached.get(base)
        layer = self.layers.get(base) if attached is None else attached.layer
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
        """Returns a name with its alias replaced by the layer's own name, and a dictionary's as it is printed."""
        base, colon, rest = canonical(name).partition(":")
        return self.aliases.get(base, base) + colon + rest

    def base(self, canonical: str) -> str:
        """Returns the name without `:class` or `:mean`, unless a module's output has that name."""
        name, _, last = canonical.rpartition(":")
        return name if last in POOLS and canonical not in self.layers else canonical

    def source(self, canonical: str) -> str:
        """Returns the network's own layer, without suffix, from which a layer is computed."""
        attached = self.attached.get(self.base(canonical))
        return self.base(canonical) if attached is None else self.source(attached.reads)

    def is_pooled(self, canonical: str) -> bool:
        """Returns whether a layer is reduced to a vector on the way from `source`."""
        base = self.base(canonical)
        attached = self.attached.get(base)
        return base != canonical or (attached is not None and self.is_pooled(attached.reads))

    def activations(self, canonical: str, captured: Mapping[str, Tensor]) -> Tensor:
        """Returns the activations of a layer.

        Args:
            canonical: The layer's name.
            captured: The activations of its `source`, by name.
        """
        base = self.base(canonical)
        if base != canonical:
            return pooled(self.activations(base, captured), canonical)
        attached = self.attached.get(base)
        if attached is None:
            return captured[base]
        latents: Tensor = attached.encoder(self.activations(attached.reads, captured), before=base.endswith(BEFORE))
        return latents

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
