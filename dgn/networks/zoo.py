"""Networks by name: each function builds a FeatureNet and records how (`spec`), so that `build` can rebuild it.

All share one schema (`dgn.networks.network_settings`, the keys of conf/network/keys.yaml): weights and how strictly
they are loaded, classes and labels, and overrides of the input space. Networks of torchvision and timm are in
`dgn.networks.libraries`, custom ones in `dgn.networks.custom`.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.assemble import assemble
from dgn.networks.autoencoders import autoencoder
from dgn.networks.caffenet import FULL, MINI, RECTIFIED, caffenet_layers
from dgn.networks.custom import own_code
from dgn.networks.featurenet import FeatureNet
from dgn.networks.found_channels import stored_channels
from dgn.networks.inputs import InputSpace
from dgn.networks.libraries import timm, torchvision
from dgn.networks.network_settings import NetworkSettings
from dgn.networks.weights.deepsim import caffenet_state
from dgn.runs.programs import hydra_text


def mini_caffenet(classes: int | str | None = None, **settings: Any) -> FeatureNet:
    """CaffeNet's topology and layer names for 64-px images, small enough for a CPU (`caffenet.MINI`).

    Args:
        classes: Number of classes; None takes it from the labels that are given or stored with the weights.
        settings: Fields of `NetworkSettings`.
    """
    given = NetworkSettings.from_keywords("mini_caffenet", (), settings | {"classes": classes})
    state = given.read(caffenet_state)
    space = _mini_space(given, stored_channels(state, "conv1.weight"))
    make = lambda n: caffenet_layers(MINI, n, space.channels)  # noqa: E731
    return assemble("mini_caffenet", given, make, space, state, aliases=RECTIFIED)


def caffenet(classes: int | str | None = None, **settings: Any) -> FeatureNet:
    """The full CaffeNet: 227 px (the paper's centre crop of larger images), BGR, 0..255, mean 104/117/123.

    Args:
        classes: Number of classes; None takes it from the weights, else 1000.
        settings: Fields of `NetworkSettings`; weights may also be a .caffemodel.
    """
    given = NetworkSettings.from_keywords("caffenet", (), settings | {"classes": classes})
    space = InputSpace((227, 227), (104.0, 117.0, 123.0), channel_order="BGR", value_range=255.0, fit="crop")
    state = given.read(caffenet_state)
    make = lambda n: caffenet_layers(FULL, n)  # noqa: E731
    return assemble("caffenet", given, make, space, state, published_classes=1000, aliases=RECTIFIED)


def mini_resnet(classes: int | str | None = None, width: int = 32, **settings: Any) -> FeatureNet:
    """A small residual network (He et al. 2016; torchvision's BasicBlock) for 64-px images.

    It is the judge of the embedded data, and shares neither weights nor architecture with MiniCaffeNet.

    Args:
        classes: Number of classes; None takes it from the labels that are given or stored with the weights.
        width: Number of channels of the first layers.
        settings: Fields of `NetworkSettings`.
    """
    given = NetworkSettings.from_keywords("mini_resnet", ("width",), settings | {"classes": classes})
    state = given.read()
    space = _mini_space(given, stored_channels(state, "conv1.weight"))
    make = lambda n: _resnet_layers(width, n, space.channels)  # noqa: E731
    return assemble("mini_resnet", given, make, space, state, {"width": width})


BUILDERS: dict[str, Callable[..., FeatureNet]] = {
    "mini_caffenet": mini_caffenet,
    "caffenet": caffenet,
    "mini_resnet": mini_resnet,
    "torchvision": torchvision,
    "timm": timm,
    "autoencoder": autoencoder,
}
"""The builders that a prior file may request by name; files never contain code."""


EMBEDDED: Mapping[Callable[..., FeatureNet], str] = {mini_caffenet: "encoder", mini_resnet: "judge"}
"""The networks that `weights: embedded` can have, and the file under conf/experiment/embedded that fits each."""


def build(spec: Mapping[str, Any]) -> FeatureNet:
    """Builds the network described by a FeatureNet's `spec`. Raises UserError if its builder is not in BUILDERS."""
    args = dict(spec)
    name = args.pop("builder", None)
    if name == "custom":
        raise UserError(own_code(args.get("model")))
    if name not in BUILDERS:
        raise UserError(f"no network builder {name!r}; there are: {', '.join(BUILDERS)}")
    return BUILDERS[name](**args)


def named(spec: Mapping[str, Any], role: str = "target") -> str:
    """Formats a spec as command-line overrides, leaving out defaults.

    For example `target=custom target.model=nets.py:make target.weights=...`.

    Args:
        spec: The `spec` of a FeatureNet.
        role: The config group: "target", "encoder", "comparator" or "judge".
    """
    few = len(spec.get("labels", ())) <= _FEW
    words = [f"{role}={spec.get('builder')}"]
    for key, value in spec.items():
        if isinstance(value, Mapping):
            words += [f"+{role}.{key}.{inner}={_typed(value[inner])}" for inner in value]
        elif key == "weights" and value is None and spec.get("builder") != "custom":
            words.append(f"{role}.weights=null")  # null is not the default here
        elif key == "builder" or value in (None, [], "") or (key, value) == ("seed", 0):
            continue  # the default
        elif few or key not in ("labels", "classes"):
            words.append(f"{role}.{key}={_typed(value)}")
    return shlex.join(words)


_FEW = 100  # most labels that are written on a command line; ImageNet's labels come with the networks


def _typed(value: Any) -> str:
    """Formats a value for a command line, quoted only if it is more than a word."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return hydra_text(value) if isinstance(value, str) else json.dumps(value)


def save_network(net: FeatureNet, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Writes the network's weights as a safetensors file, atomically.

    Args:
        net: The network; its labels are stored in the file's header.
        path: The file.
        about: Plain values that are also stored in the header.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in net.network.state_dict().items()}
    header = {"labels": json.dumps(list(net.labels)), "about": json.dumps(dict(about or {}))}
    write_whole(path, save(tensors, metadata=header))


def _mini_space(given: NetworkSettings, stored: int | None) -> InputSpace:
    """The input of the small networks: 64 px, and the channels of the settings, the weights or the data; else RGB."""
    bands = None if given.bands is None else len(given.bands)
    channels = given.channels or stored or bands or given.data_channels or 3
    return InputSpace(size=(64, 64), mean=(0.5,) * 3, std=(0.25,) * 3).overridden(channels=channels)


def _resnet_layers(width: int, classes: int, image_channels: int = 3) -> nn.Sequential:
    from torchvision.models.resnet import BasicBlock  # here, as importing torchvision takes seconds

    def block(channels: int, wider: int, stride: int) -> nn.Module:
        shortcut = None
        if channels != wider:
            shortcut = nn.Sequential(nn.Conv2d(channels, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))
        return BasicBlock(channels, wider, stride, shortcut)

    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(image_channels, width, 5, 2, 2, bias=False))
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
