"""Builds a network of any role from its part of the config. Its weights must exist already."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

_ROLE_KEYS = ("layer", "layers", "trunk")
"""Keys that describe the use of a network and are not arguments of its builder (conf/network/role)."""


def built_network(config: DictConfig, data: ImageData | None = None, image_size: int | None = None) -> FeatureNet:
    """Returns the FeatureNet of an encoder, comparator, target or judge config, whose weights exist already.

    Args:
        config: The network's config.
        data: Provides the classes and the image size if neither the config, the weights nor the network define them.
        image_size: The image size in pixels, if there are no data.

    Raises:
        UserError: For `classes=data` without data that have classes, and for errors of the builder.
    """
    config = config.copy()
    with open_dict(config):
        for key in _ROLE_KEYS:
            config.pop(key, None)
    from_data: dict[str, Any] = {"data_size": image_size if data is None else data.image_size}
    if data is not None:
        from_data["data_classes"] = list(data.classes)
    if config.get("classes") == "data":
        if data is None or not data.classes:
            raise UserError("classes=data: there are no data with classes here; give a number, or auto")
        from_data |= {"classes": len(data.classes), "labels": list(data.classes)}
    try:
        return instantiate(config, **from_data, _convert_="all")
    except InstantiationException as error:  # Hydra wraps the builder's exception
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise
