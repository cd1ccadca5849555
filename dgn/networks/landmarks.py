"""The landmarks among a network's layers: the layer of classes, and the deepest layer that is a map or tokens."""

from collections.abc import Callable, Mapping, Sequence

from dgn.errors import UserError
from dgn.networks.layers import OUTPUT, Layer

Layers = Mapping[str, Layer]
"""A network's layers by name, in the order of a forward pass."""


def trunk(layers: Layers) -> str | None:
    """Returns the deepest layer that is a map or tokens; None if there is none.

    Layers inside attention pooling and heads that classify each token are left out.
    """
    maps = _maps(layers)
    return maps[-1] if maps else None


def spread_maps(layers: Layers, count: int = 4) -> list[str]:
    """Returns up to `count` layers that see an image at different scales, from the first to the deepest.

    For convolutional networks, these are the deepest layers of each map size, the smallest sizes first. Networks with
    maps of one or two sizes (tokens) give layers at even distances of depth. The last layer is the trunk. [] if there
    is no map.
    """
    maps = _maps(layers)
    deepest_of_size = {layers[name].shape[1:] if len(layers[name].shape) == 3 else (): name for name in maps}
    order = {name: place for place, name in enumerate(maps)}
    deepest = sorted(deepest_of_size.values(), key=order.__getitem__)
    if len(deepest) > 2 or not maps:
        return deepest[-count:]
    alike = [name for name in maps if layers[name].shape == layers[maps[-1]].shape]
    places = [round((i + 1) * len(alike) / count) - 1 for i in range(count)]
    return [alike[place] for place in dict.fromkeys(max(0, place) for place in places)]


def class_layer(layers: Layers, labels: Sequence[str], network: str) -> str:
    """Returns the last layer before a softmax whose activations are a vector with one unit per class.

    Args:
        layers: The network's layers.
        labels: Its labels, or none.
        network: Its name, for the message.

    Raises:
        UserError: If there is no such layer, or if the network has no labels and computes its output without a
            module.
    """
    vectors = _vectors(layers, labels)
    if not vectors:
        unit = f"one unit for each of its {len(labels)} labels" if labels else "a vector of classes"
        raise UserError(f"{network} has no layer with {unit}; name its layer with layer=")
    final = layers.get(OUTPUT)  # with several heads, the one that the network returns first
    if final is None:
        return _inner(layers, vectors[-1])
    if len(final.shape) == 1 and final.same_as in ("", OUTPUT):
        if len(_heads(layers, final.units)) > 1 or (labels and OUTPUT in vectors):
            return OUTPUT
        any_plain = any(layers[name].plain for name in vectors)
        vectors = [name for name in vectors if layers[name].units == final.units]
        if any_plain and not vectors:
            raise UserError(
                f"{network} has no class layer: no module computes its {final.units} outputs, and it has no labels; "
                "name a layer, as in units=output:all, or give labels"
            )
    return _inner(layers, final.same_as if final.same_as in vectors else vectors[-1])


def classifier(layers: Layers, classes: str, has_weights: Callable[[str], bool]) -> str:
    """Returns the last layer with weights that computes the class scores; the class layer if there is none.

    Global pooling, ReLU and flattening may follow it, as in SqueezeNet. Of several heads, none is the last.

    Args:
        layers: The network's layers.
        classes: The class layer.
        has_weights: Whether a module has weights of its own.
    """
    final = layers[classes]
    if has_weights(final.module) or (classes == OUTPUT and len(_heads(layers, final.units)) > 1):
        return classes
    names = list(layers)
    for name in reversed(names[: names.index(classes)]):
        layer = layers[name]
        if layer.plain and layer.units == final.units and has_weights(layer.module):
            return name
    return classes


def _maps(layers: Layers) -> list[str]:
    """The layers that are maps or tokens, without those inside attention pooling and heads that classify tokens."""
    classes = layers[OUTPUT].shape if OUTPUT in layers else ()
    maps = []
    for name, layer in layers.items():
        is_head = layer.kind == "Linear" and layer.shape[-1:] == classes
        is_border = layer.kind.endswith("Pad2d")  # a map with zeros around it, of a size that no other has
        if layer.plain and layer.is_map and not (is_head or is_border):
            maps.append(name)
    poolings = _token_poolings(layers, maps)
    return [name for name in maps if not name.startswith(poolings)]


def _vectors(layers: Layers, labels: Sequence[str]) -> list[str]:
    """The layers that could be the one of classes: vectors, of one unit per label, if possible of a single call."""
    vectors = []
    for name, layer in layers.items():
        is_probability = layer.kind in ("Softmax", "LogSoftmax")
        if len(layer.shape) == 1 and not is_probability and (not labels or layer.units == len(labels)):
            vectors.append(name)
    plain = [name for name in vectors if layers[name].plain]
    return plain or [name for name in vectors if "@" not in name]


def _inner(layers: Layers, name: str) -> str:
    """The layer that computes what a layer only passes on, as a wrapper does; else the layer itself."""
    inner = layers.get(layers[name].same_as)
    return inner.name if inner is not None and inner.plain else layers[name].name


def _heads(layers: Layers, units: int) -> list[str]:
    """The linear layers with that many units that start from features of another number, as parallel heads do."""
    heads = []
    for name, layer in layers.items():
        is_linear = layer.plain and layer.kind == "Linear" and len(layer.shape) == 1
        if is_linear and layer.units == units != layers[f"{name}:input"].units:
            heads.append(name)
    return heads


def _token_poolings(layers: Layers, maps: Sequence[str]) -> tuple[str, ...]:
    """The name prefixes of modules that reduce tokens, or a map as tokens, to a vector and hold few of all maps."""
    prefixes = []
    for name, layer in layers.items():
        entering = layers.get(f"{name}:input")
        if not layer.plain or layer.is_map or entering is None or not entering.is_map:
            continue
        inside = [other for other in maps if other.startswith(f"{name}.")]
        tokens = len(entering.shape) == 2 or any(len(layers[other].shape) == 2 for other in inside)
        if tokens and 2 * len(inside) < len(maps):  # a wrapper around the whole trunk holds most of them
            prefixes.append(f"{name}.")
    return tuple(prefixes)
