"""Whether a network classifies real images as well as it should, and which of its input's settings is probably wrong.

A wrong mean, size or channel order raises no error: the network only becomes worse, and everything that is computed
with it.
"""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgn.am.objectives.unit_names import plain_label
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.precision import full_precision
from dgn.runs.progress import announced

POOR = 0.5
"""The accuracy below which a network is reported as poor."""
_GOOD = 0.9
"""The accuracy from which other settings are not tried."""
_SECONDS, _FEWEST, _MOST = 10.0, 32, 128
"""Seconds for trying other settings, as far as the fewest images allow."""
_BATCH = 32

_Channels = tuple[float, float, float]
_NORMALIZATIONS: Mapping[str, tuple[_Channels, _Channels, float]] = {
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1.0),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616), 1.0),
    "0..255": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 255.0),
    "Caffe's": ((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), 255.0),
    "TensorFlow's": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0), 255.0),
}
"""Mean, standard deviation and value range that networks are published with."""


@dataclass(frozen=True)
class NetworkCheck:
    """How well a network classifies real images.

    Attributes:
        accuracy: the share of images whose class is the network's first.
        images: the number of images.
        settings: the settings of the input with which it is much better, as on a command line; "" if there are none.
        better: the accuracy with these settings, on the images on which they were tried.
    """

    accuracy: float
    images: int
    settings: str = ""
    better: float = 0.0


@torch.no_grad()
@full_precision
def check_network(
    net: FeatureNet, images: Tensor, labels: Tensor, classes: Sequence[str], try_others: bool = True
) -> NetworkCheck | None:
    """Measures a network's accuracy on real images; if it is low, also with other settings of its input.

    Args:
        net: the network.
        images: (N, 3, H, W) in image space.
        labels: int64 (N,), the images' classes.
        classes: the names of the classes.
        try_others: whether other settings are tried.

    Returns:
        The result; None if the classes of the images are not the network's.
    """
    units = units_of_classes(net, classes)
    if units is None:
        return None
    wanted = units[labels]
    images, wanted = images[wanted >= 0], wanted[wanted >= 0]
    if not len(images):
        return None
    began = time.perf_counter()
    accuracy = _accuracy(net, net.input_space, images, wanted)
    each = (time.perf_counter() - began) / len(images)
    plain = NetworkCheck(accuracy, len(images))
    if accuracy >= _GOOD or not try_others:
        return plain
    count = int(_SECONDS / max(each, 1e-6) / (2 * len(_NORMALIZATIONS) + 8))
    count = min(max(count, _FEWEST), _MOST, len(images))
    few = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
    return _with_best_settings(plain, net, images[few], wanted[few])


def units_of_classes(net: FeatureNet, classes: Sequence[str]) -> Tensor | None:
    """Returns the network's unit of each class, int64 (classes,), -1 for a class that it does not have.

    Without labels, a network with as many units as there are classes has them in the same order. Returns None if the
    network has none of the classes.
    """
    if not net.labels:
        same = net.layer(net.class_layer()).shape == (len(classes),)
        return torch.arange(len(classes)) if same else None
    place = {plain_label(label): i for i, label in enumerate(net.labels)}
    units = torch.tensor([place.get(plain_label(name), -1) for name in classes])
    return units if bool((units >= 0).any()) else None


def _with_best_settings(plain: NetworkCheck, net: FeatureNet, images: Tensor, wanted: Tensor) -> NetworkCheck:
    """Tries other settings of the input, one by one, then the best ones of two kinds together."""
    own = net.input_space
    start = _accuracy(net, own, images, wanted)
    best: dict[str, tuple[float, InputSpace]] = {}
    others = list(_alternatives(own, images.shape[-1]))
    trying = announced(
        others, len(others), f"Trying other mean, std, size and channel order of {net.name}", "once for each run"
    )
    for kind, space in trying:
        accuracy = _accuracy(net, space, images, wanted)
        if accuracy > best.get(kind, (start, own))[0]:
            best[kind] = accuracy, space
    tried = list(best.values())
    for first, second in itertools.combinations(best, 2):
        changed = {key: getattr(best[second][1], key) for key in _KINDS[second]}
        both = replace(best[first][1], **changed)
        tried.append((_accuracy(net, both, images, wanted), both))
    accuracy, space = max(tried, key=lambda entry: entry[0], default=(start, own))
    one_class = float(wanted.bincount().max()) / len(wanted)  # for a network that always gives the same class
    if accuracy - max(start, one_class) < max(0.1, 3 * math.sqrt(0.5 / len(images))):  # three standard errors
        return plain
    return replace(plain, settings=_in_words(space, own), better=accuracy)


_KINDS = {
    "order": ("channel_order",),
    "normalization": ("mean", "std", "value_range", "channel_order"),
    "size": ("size",),
}
"""The settings that are tried together."""


def _alternatives(own: InputSpace, image_side: int) -> Iterator[tuple[str, InputSpace]]:
    """Yields other input spaces, which differ from the network's own in one kind of settings."""
    if own.channel_order != "grey":
        other = replace(own, channel_order="BGR" if own.channel_order == "RGB" else "RGB")
        yield "order", other
        for space in (own, other):  # with a wrong mean, the right order alone may not help
            for mean, std, value_range in _NORMALIZATIONS.values():
                if (mean, std, value_range) != (own.mean, own.std, own.value_range):
                    yield "normalization", replace(space, mean=mean, std=std, value_range=value_range)
    sides = {image_side, 224}
    if own.size is not None:
        sides |= {own.size[0] // 2, own.size[0] * 2}
    for side in sorted(sides):
        if (side, side) != (own.size or (image_side, image_side)) and side >= 8:
            yield "size", replace(own, size=(side, side))


def _accuracy(net: FeatureNet, space: InputSpace, images: Tensor, wanted: Tensor) -> float:
    """The share of images whose unit is the largest with an input space; 0 if the network does not take it."""
    layer, own = net.class_layer(), net.input_space
    right = 0
    try:
        net.input_space = space
        parts = announced(
            zip(images.split(_BATCH), wanted.split(_BATCH), strict=True),
            len(images),
            f"Classifying validation images, to check the settings of {net.name}",
            "once for each run",
            _BATCH,
        )
        for part, units in parts:
            right += int((net(part.to(net.device), [layer])[layer].argmax(1).cpu() == units).sum())
    except Exception:  # code of others can raise anything for an image of another size
        if space is own:
            raise
        return 0.0
    finally:
        net.input_space = own
    return right / len(images)


def _in_words(space: InputSpace, own: InputSpace) -> str:
    """The settings that differ, as on a command line."""
    words = []
    for key in ("channel_order", "mean", "std", "value_range"):
        value = getattr(space, key)
        if value != getattr(own, key):
            words.append(f"{key}={_format(value)}")
    if space.size is not None and space.size != own.size:
        words.append(f"input_size={space.size[0]}")
    return " ".join(words)


def _format(value: str | float | Sequence[float]) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, int | float) else f"[{','.join(f'{v:g}' for v in value)}]"
