"""Functions and classes that configs name by `_target_` and that have moved since.

A run's saved config is read with their present paths; a user's own config file with a former path is refused in a line
that names the present one.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dgn.errors import UserError

_MOVED = {
    "dgn.am.fourier": "dgn.am.parametrizations",
    "dgn.am.readings": "dgn.am.objectives",
    "dgn.am.realism": "dgn.am.regularizers",
    "dgn.am.total_variation": "dgn.am.regularizers",
    "dgn.am.views": "dgn.am.regularizers",
    "dgn.loggers": "dgn.runs.loggers",
    "dgn.multirun": "dgn.cli.multirun",
    "dgn.tasks.code_prior": "dgn.cli.train_code_prior",
    "dgn.tasks.encoder": "dgn.cli.train_encoder",
    "dgn.tasks.prior": "dgn.cli.train_prior",
    "dgn.training.replicas": "dgn.training.distributed",
}
"""Former module -> the one, or the package, that has its names now."""


_KEYS = {"image_size": "canvas_size"}
"""{former key of visualize and compare: the present one}."""


def explain_former_key(key: str) -> str | None:
    """Returns a message that names the present key for a former one of visualize and compare; None for another."""
    return f"{key} has been renamed: write {_KEYS[key]}" if key in _KEYS else None


def refuse_former_keys(config: Mapping[Any, Any]) -> None:
    """Raises UserError if a config of visualize or compare, or a file that it includes, has a former key."""
    for key in _KEYS:
        if key in config:
            raise UserError(explain_former_key(key))


def present_target(target: str) -> str:
    """The path of what a former path named; any other path as it is."""
    module, _, name = target.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else target


def read_saved(path: Path) -> dict[str, Any]:
    """A saved config as plain values, its interpolations as they stand, with present paths."""
    return with_present_targets(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def with_present_targets(tree: Any) -> Any:
    """A config's values, mappings and lists alike, with every `_target_` as it is called now."""
    if isinstance(tree, Mapping):
        return {
            key: present_target(value) if key == "_target_" and isinstance(value, str) else with_present_targets(value)
            for key, value in tree.items()
        }
    return [with_present_targets(value) for value in tree] if isinstance(tree, list) else tree


def refuse_former_targets(tree: Any) -> None:
    """Raises UserError for a config that names something by a former path."""
    for target in _targets(tree):
        present = present_target(target)
        if present != target:
            raise UserError(f"_target_: {target} has moved: write {present} in your config file")


def _targets(tree: Any) -> Iterable[str]:
    if isinstance(tree, Mapping):
        if isinstance(tree.get("_target_"), str):
            yield tree["_target_"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _targets(value)
