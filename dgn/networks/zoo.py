"""Networks by name: each function makes a FeatureNet and writes down how (`spec`), so that `build` can again.

All share one schema: weights (null: random, from `seed`; or a file), labels, and what of the input space differs
from the network's own: input_size, mean, std, channel_order, value_range.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torchvision.models.resnet import BasicBlock

from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.caffenet import FULL, MINI, RECTIFIED, caffenet_layers
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.weights.state_dict import load_state_dict, read_state_dict


def mini_caffenet(classes: int | None = None, **schema: Any) -> FeatureNet:
    """CaffeNet's topology and layer names for 64-px images, small enough for a CPU (`caffenet.MINI`).

    classes: number of labels; None: of the labels given or stored with the weights."""
    space = InputSpace(size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3)
    return _assemble(
        "mini_caffenet", lambda n: caffenet_layers(MINI, n), space, RECTIFIED, {"classes": classes}, schema
    )


def caffenet(classes: int | None = 1000, **schema: Any) -> FeatureNet:
    """The full CaffeNet: 227 px (the paper's centre crop of larger images), BGR, 0..255, mean 104/117/123."""
    space = InputSpace((227, 227), (104.0, 117.0, 123.0), channel_order="BGR", value_range=255.0, fit="crop")
    return _assemble("caffenet", lambda n: caffenet_layers(FULL, n), space, RECTIFIED, {"classes": classes}, schema)


def mini_resnet(classes: int | None = None, width: int = 32, **schema: Any) -> FeatureNet:
    """A small residual network (He et al. 2016; torchvision's BasicBlock) for 64-px images: the embedded world's
    judge, which shares neither weights nor architecture with MiniCaffeNet."""
    space = InputSpace(size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3)
    args = {"classes": classes, "width": width}
    return _assemble("mini_resnet", lambda n: _resnet_layers(width, n), space, {}, args, schema)


BUILDERS: dict[str, Callable[..., FeatureNet]] = {
    "mini_caffenet": mini_caffenet,
    "caffenet": caffenet,
    "mini_resnet": mini_resnet,
}
"""What a prior file may ask for: names, never code."""


def build(spec: Mapping[str, Any]) -> FeatureNet:
    """The network that a FeatureNet's `spec` describes. Raises UserError for a builder that is not in BUILDERS."""
    args = dict(spec)
    name = args.pop("builder", None)
    if name not in BUILDERS:
        raise UserError(f"no network builder {name!r}; there are: {', '.join(BUILDERS)}")
    return BUILDERS[name](**args)


def save_network(net: FeatureNet, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Writes the network's weights as safetensors, its labels (and `about`, plain values) in the header; whole or
    not at all."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in net.network.state_dict().items()}
    header = {"labels": json.dumps(list(net.labels)), "about": json.dumps(dict(about or {}))}
    write_whole(path, save(tensors, metadata=header))


def _assemble(
    builder: str,
    layers: Callable[[int], nn.Module],
    space: InputSpace,
    aliases: Mapping[str, str],
    args: dict[str, Any],
    schema: dict[str, Any],
) -> FeatureNet:
    weights, seed = schema.pop("weights", None), schema.pop("seed", 0)
    labels = tuple(schema.pop("labels", None) or _labels_beside(weights))
    state = None if weights is None else read_state_dict(weights)
    classes = args["classes"] or len(labels) or _classes_in(state)
    if not classes:
        raise UserError(f"{builder}: how many classes? give `classes` or `labels`; the weights do not say")
    if labels and len(labels) != classes:
        raise UserError(f"{builder}: {len(labels)} labels for {classes} classes; there must be one for each")
    try:
        space = space.overridden(**schema)
    except TypeError:
        known = ("weights", "labels", "seed", "input_size", "mean", "std", "channel_order", "value_range")
        wrong = ", ".join(key for key in schema if key not in known)
        raise UserError(f"{builder} has no setting {wrong}; settings: {', '.join((*args, *known))}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = layers(classes)
    if state is not None:
        load_state_dict(network, state, source=str(weights))
    spec = {"builder": builder, **args, "classes": classes, "labels": list(labels), "seed": seed, "weights": weights}
    spec |= schema
    network = network.to(memory_format=torch.channels_last)
    return FeatureNet(network, space, builder, labels, aliases, spec)


def _classes_in(state: Mapping[str, torch.Tensor] | None) -> int:
    """Units of the classifier in a state dict of our networks: rows of fc8's (CaffeNet) or fc's weight; 0: unknown."""
    heads = [v for k, v in (state or {}).items() if k.rpartition(".weight")[0].rpartition(".")[2] in ("fc8", "fc")]
    return len(heads[-1]) if heads else 0


def _labels_beside(weights: str | Path | None) -> Sequence[str]:
    """The labels in a safetensors file's header, as `save_network` writes them."""
    if weights is None or not str(weights).endswith(".safetensors"):
        return ()
    try:
        with safe_open(weights, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("labels", "[]"))
    except (SafetensorError, OSError, ValueError):
        return ()  # read_state_dict says what is wrong with the file


def _resnet_layers(width: int, classes: int) -> nn.Sequential:
    def block(channels: int, wider: int, stride: int) -> BasicBlock:
        shortcut = None
        if channels != wider:
            shortcut = nn.Sequential(nn.Conv2d(channels, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))
        return BasicBlock(channels, wider, stride, shortcut)

    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(3, width, 5, 2, 2, bias=False))
    layers.add_module("bn1", nn.BatchNorm2d(width))
    layers.add_module("relu", nn.ReLU())
    layers.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    layers.add_module("layer1", block(width, width, 1))
    layers.add_module("layer2", block(width, 2 * width, 2))
    layers.add_module("layer3", block(2 * width, 4 * width, 2))
    layers.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("fc", nn.Linear(4 * width, classes))
    return layers
