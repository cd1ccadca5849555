"""What a prior knows of its encoder, for the same network as the target: labels, mean and std, size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

_KEYS = (
    *("labels", "classes", "input_size", "mean", "std", "channel_order", "value_range", "fit", "resize"),
    *("weights", "container", "allow_missing", "allow_unexpected"),
)
"""Settings that are taken from the prior if they are not given."""
_NOT_GIVEN: tuple[Any, ...] = (None, "auto", [], {})


def with_remembered(config: DictConfig, spec: Mapping[str, Any]) -> tuple[DictConfig, list[str]]:
    """Fills in what a network's config does not say from the `spec` of a prior's encoder.

    Args:
        config: The config of a target.
        spec: How the prior's encoder was built.

    Returns:
        The config, and the names of the keys that were filled in: none if the two are not the same network.
    """
    given: Any = OmegaConf.to_container(config)
    if not _same_network(given, spec):
        return config, []
    filled = config.copy()
    keys = []
    with open_dict(filled):
        for key in _KEYS:
            if key in given and given[key] in _NOT_GIVEN and spec.get(key) not in _NOT_GIVEN:
                filled[key] = spec[key]
                keys.append(key)
    return filled, keys


def _same_network(given: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether a config names the builder and the model of a spec. Their weights may differ."""
    if str(given.get("_target_")).rpartition(".")[2] != spec.get("builder"):
        return False
    if str(given.get("name") or "").lower() != str(spec.get("name") or "").lower():
        return False
    own = [key for key in ("args", "width") if (given.get(key) or None) != (spec.get(key) or None)]
    return not own and _model(given) == _model(spec)


def _model(settings: Mapping[str, Any]) -> str:
    """The code of a custom network; a file by its absolute path."""
    file, colon, name = str(settings.get("model") or "").rpartition(":")
    return f"{Path(file).expanduser().absolute()}{colon}{name}" if file.endswith(".py") else file + colon + name
