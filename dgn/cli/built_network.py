"""A network from its part of the config, whichever role it has, once its weights are at hand."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet

_ROLE_KEYS = ("layer", "layers", "trunk")
"""Keys of a network's config that say what it is used for, not what it is (conf/network/role)."""


def built_network(config: DictConfig, data: ImageData | None = None, image_size: int | None = None) -> FeatureNet:
    """The FeatureNet of an encoder, comparator, target or judge config, whose weights exist already.

    data: whose classes and image size the network has where neither config nor weights nor the network itself give
    them. image_size: the same, where there are no data.
    """
    config = config.copy()
    with open_dict(config):
        for key in _ROLE_KEYS:
            config.pop(key, None)
    known: dict[str, Any] = {"data_size": image_size if data is None else data.image_size}
    if data is not None:
        known["data_classes"] = list(data.classes)
    if config.get("classes") == "data":
        if data is None or not data.classes:
            raise UserError("classes=data: there are no data with classes here; give a number, or auto")
        known |= {"classes": len(data.classes), "labels": list(data.classes)}
    try:
        return instantiate(config, **known, _convert_="all")
    except InstantiationException as error:  # Hydra's wrapping of what the builder raised
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise
