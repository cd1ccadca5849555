"""The layers of a network that a page shows if none are named."""

from dgn.networks.featurenet import FeatureNet
from dgn.networks.layers import OUTPUT

_PASSED_ON = (
    "Dropout",
    "SharedDropout",
    "Flatten",
    "Identity",
    "Softmax",
    "BatchNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
)
"""Modules that change little of what enters them."""


def main_layers(net: FeatureNet, most: int | None = 12) -> list[str]:
    """Returns up to `most` layers in the order of a forward pass, the class layer last.

    Networks with aliases (CaffeNet's conv1 .. fc7, after their ReLU) show these. Of other networks, every tensor that
    a module makes counts once, at even distances of depth.

    Args:
        net: The network.
        most: The largest number of layers; None: all.
    """
    names = list(net.aliases) or _distinct(net)
    order = {name: place for place, name in enumerate(net.layers())}
    names = sorted(dict.fromkeys(names), key=lambda name: order[net.layer(name).name])
    if not net.headless:
        classes = net.class_layer()
        names = [name for name in names if order[net.layer(name).name] < order[classes]] + [classes]
    if most is not None and len(names) > most:
        places = [round(i * (len(names) - 1) / (most - 1)) for i in range(most)] if most > 1 else [len(names) - 1]
        names = [names[place] for place in dict.fromkeys(places)]
    return names


def _distinct(net: FeatureNet) -> list[str]:
    names = []
    for name, layer in net.layers().items():
        own = layer.same_as in ("", name)
        if layer.plain and own and name != OUTPUT and layer.kind not in _PASSED_ON and len(layer.shape) in (1, 2, 3):
            names.append(name)
    return names
