"""What a prior knows of its encoder, for the same network as the target: labels, mean and std, size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEYS = (
    *("labels", "classes", "input_size", "mean", "std", "channel_order", "value_range", "fit", "resize"),
    *("weights", "container", "allow_missing", "allow_unexpected"),
)
"""Settings that are taken from the prior if they are not given."""
_NOT_GIVEN: tuple[Any, ...] = (None, "auto", [], {})


def with_remembered(settings: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Fills in what a network's settings do not say from the `spec` of a prior's encoder.

    Args:
        settings: The `target` group of the config.
        spec: How the prior's encoder was built.

    Returns:
        The settings, and the names of the keys that were filled in: none if the two are not the same network.
    """
    if not _same_network(settings, spec):
        return settings, []
    known = [key for key in _KEYS if spec.get(key) not in _NOT_GIVEN]
    keys = [key for key in known if key in settings and settings[key] in _NOT_GIVEN]
    return {**settings, **{key: spec[key] for key in keys}}, keys


def _same_network(given: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether settings name the builder and the model of a spec. Their weights may differ."""
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
