"""Builds a network of any role from its part of the config. Its weights must exist already."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from dgn.data.datamodule import ImageData
from dgn.data.imagenet import are_imagenets, class_names
from dgn.data.size import image_size as as_size
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.layers import OUTPUT

_ROLE_KEYS = ("layer", "layers", "trunk")
"""Keys that describe the use of a network and are not arguments of its builder (conf/network/role)."""


def built_network(
    settings: Mapping[str, Any],
    data: ImageData | None = None,
    image_shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] = (),
) -> FeatureNet:
    """Returns the FeatureNet of the settings of an encoder, comparator, target or judge, whose weights exist already.

    A network of a thousand outputs that has no labels of its own gets ImageNet's if the data's classes are among them.

    Args:
        settings: The network's part of the config.
        data: Provides the classes and the image size if neither the settings, the weights nor the network define them.
        image_shape: (channels, height, width) of the images, if it is not that of the data.
        classes: The classes, if there are no data.

    Raises:
        UserError: For `classes=data` without data that have classes, and for errors of the builder.
    """
    arguments = {key: value for key, value in settings.items() if key not in _ROLE_KEYS}
    classes = list(classes if data is None else data.classes)
    if image_shape is None and data is not None:
        image_shape = data.image_shape
    from_data: dict[str, Any] = {"data_size": None, "data_classes": classes}
    if image_shape is not None:
        from_data |= {"data_size": as_size(image_shape[1:]), "data_channels": image_shape[0]}
    as_data = settings.get("classes") == "data"
    if as_data:
        if not classes:
            raise UserError(
                "classes=data: there are no data with classes here; give a number, or auto, or name the images: "
                "data=image_folder data.root=FOLDER"
            )
        arguments |= {"classes": len(classes), "labels": classes}
    try:
        net: FeatureNet = instantiate(arguments, **from_data, _convert_="all")
    except InstantiationException as error:  # Hydra wraps the builder's exception
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise
    if (as_data or not net.labels) and are_imagenets(classes) and _outputs(net) == len(class_names()):
        net.labels = class_names()
        net.spec["labels"] = list(net.labels)
    return net


def _outputs(net: FeatureNet) -> int:
    """Returns the number of units of the network's output if it is a vector, else 0."""
    output = net.layers().get(OUTPUT)
    return output.units if output is not None and len(output.shape) == 1 else 0
