"""Former paths of functions and classes that configs name by `_target_`.

In the saved config of a run they are replaced by the present paths. In a user's config file they are an error, which
names the present path.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dgn.errors import UserError
from dgn.records import read_yaml

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
"""{former module: the module or package that defines its names now}."""

_REPLACED = {"dgn.networks.discriminator.Discriminator": "dgn.networks.discriminator.conv_discriminator"}
"""{former target: the present one}."""


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
    """Returns the present path for a former one; other paths unchanged."""
    target = _REPLACED.get(target, target)
    module, _, name = target.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else target


def read_saved(path: Path) -> dict[str, Any]:
    """Reads a saved config as plain values, with present paths. Interpolations are not resolved."""
    return with_present_targets(read_yaml(path, "run's settings"))


def with_present_targets(tree: Any) -> Any:
    """Returns a config (nested mappings and lists) with present paths for every `_target_`."""
    if isinstance(tree, Mapping):
        return {
            key: present_target(value) if key == "_target_" and isinstance(value, str) else with_present_targets(value)
            for key, value in tree.items()
        }
    return [with_present_targets(value) for value in tree] if isinstance(tree, list) else tree


def refuse_former_targets(tree: Any) -> None:
    """Raises UserError if a config has a `_target_` with a former path."""
    for target in _targets(tree):
        present = present_target(target)
        if present != target:
            raise UserError(f"_target_: {target} has moved: write {present} in your config file")


def check_targets(tree: Any, source: Path) -> None:
    """Checks the `_target_`s of a saved config that may be another's, before they are called.

    Raises:
        UserError: If one is outside of this package and of torch's optimizers and Lightning's parts, which runs name.
    """
    for target in _targets(tree):
        if not target.startswith(_OF_RUNS):
            raise UserError(
                f"{source} names {target!r}, which is no part of dgn and could run anything: it is not called; name "
                "your own function on the command line"
            )


_OF_RUNS = ("dgn.", "torch.optim.", "pytorch_lightning.callbacks.", "pytorch_lightning.loggers.")


def _targets(tree: Any) -> Iterable[str]:
    if isinstance(tree, Mapping):
        if isinstance(tree.get("_target_"), str):
            yield tree["_target_"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _targets(value)
