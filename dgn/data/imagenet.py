"""ImageNet's thousand classes: their WordNet ids, which name the folders of its images, and their names."""

import functools
from collections.abc import Sequence
from importlib.resources import files

_SAME = 0.5
"""Share of a thousand labels that must be ImageNet's names, in its order, for all of them to be ImageNet's."""


@functools.cache
def wnids() -> tuple[str, ...]:
    """Returns the WordNet ids of the thousand classes (n01440764, ...), sorted: class i of a network is the i-th."""
    return tuple(files("dgn.data").joinpath("imagenet_wnids.txt").read_text(encoding="ascii").split())


@functools.cache
def class_names() -> tuple[str, ...]:
    """Returns the names of the thousand classes, as torchvision's networks have them.

    A repeated name has its class number appended, as in the labels of a network.
    """
    from torchvision.models import ResNet50_Weights

    return unique(ResNet50_Weights.DEFAULT.meta["categories"])


def unique(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns labels in which a repeated name has its class number appended."""
    seen: set[str] = set()
    names = []
    for i, label in enumerate(labels):
        names.append(f"{label} ({i})" if label in seen else str(label))
        seen.add(label)
    return tuple(names)


def readable(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns labels by one list of names, if they are ImageNet's, so that networks and folders can be matched.

    WordNet ids become names. A thousand labels of which at least half are ImageNet's, in its order ("tench", or
    "tench, Tinca tinca"), become its names, whatever the others are. Any other labels are returned unchanged.
    """
    if labels and set(labels) <= set(wnids()):
        names = dict(zip(wnids(), class_names(), strict=True))
        return tuple(names[label] for label in labels)
    if len(labels) == len(wnids()):
        same = sum(_matches(label, name) for label, name in zip(labels, class_names(), strict=True))
        if same >= _SAME * len(labels):
            return class_names()
    return tuple(labels)


def are_imagenets(labels: Sequence[str]) -> bool:
    """Whether all labels are names of ImageNet's classes, as `readable` gives them."""
    return bool(labels) and set(labels) <= set(class_names())


def _matches(label: str, name: str) -> bool:
    """Whether one of a label's names, separated by commas, is the class's name."""
    words = [_plain(word) for word in str(label).split(",")]
    return _plain(name.partition(" (")[0]) in words


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
