"""Names runs by the settings in which they differ, which are read from the folder of each run."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgn.cli.config import different, plain
from dgn.cli.renamed import check_targets, with_present_targets
from dgn.errors import UserError, one_line
from dgn.prior.prior_file import read_about
from dgn.records import read_yaml
from dgn.runs.folders import CONFIG

NAME_JOIN = " · "
"""Separates the settings in a run's name; the figure of a comparison breaks lines there."""
_MOST_IN_NAME = 4
_NOT_COMPARED = ("resume", "logger", "comparison", "checkpoint", "hydra")


@dataclass(frozen=True)
class RecordedSettings:
    """The settings of a run.

    Attributes:
        config: The run's config, as plain values.
        choices: {config group: the chosen file}. Empty for a prior file.
        overridden: The keys that its command set. Empty for a prior file.
        source: Where they stand.
    """

    config: Mapping[str, Any]
    choices: Mapping[str, str]
    overridden: Sequence[str]
    source: Path

    def group(self, name: str) -> dict[str, Any] | None:
        """Returns the settings of a config group, with interpolations resolved; None if there are none.

        Raises:
            UserError: If they are not those of a group, or name a function outside of this package, which would be run.
        """
        try:
            settings = OmegaConf.select(OmegaConf.create(dict(self.config)), name)
            group = None if settings is None else plain(settings)
        except (OmegaConfBaseException, ValueError, TypeError) as error:
            raise UserError(f"{self.source}: its settings of {name} cannot be read: {one_line(error)}") from None
        if group is None:
            return None
        if not isinstance(group, dict):
            raise UserError(f"{self.source} is damaged: {name} is {str(group)[:40]!r}, not a group of settings")
        check_targets(group, self.source)
        return group


def read_settings(run: Path) -> RecordedSettings:
    """Reads the settings of a run from its folder, or from a prior file."""
    if run.is_file():
        return RecordedSettings(with_present_targets(read_about(run).get("config", {})), {}, [], run)
    hydra = _read(run / ".hydra" / "hydra.yaml")
    choices = OmegaConf.select(OmegaConf.create(hydra), "hydra.runtime.choices", throw_on_resolution_failure=False)
    overrides = map(str, _read(run / ".hydra" / "overrides.yaml", list))
    overridden = [override.split("=")[0].lstrip("+~") for override in overrides]
    choices = dict(choices) if isinstance(choices, Mapping) else {}
    config = _read(run / CONFIG) or _read(run / ".hydra" / "config.yaml")
    return RecordedSettings(config, choices, overridden, run / CONFIG)


def name_runs(runs: Sequence[str], settings: Sequence[RecordedSettings]) -> tuple[list[str], list[dict[str, Any]]]:
    """Names each run, and returns {setting: value} for the settings in which any two runs differ.

    If runs differ in the choice of a config file (`encoder=mini_resnet`), the choice is listed instead of all settings
    that follow from it.

    Args:
        runs: A name for each run, used if its settings do not distinguish it from the others.
        settings: The settings of each run.

    Returns:
        The names, and the settings of each run in which the runs differ.
    """
    recorded = [run for run in settings if run.config]
    keys = _differing(recorded)
    groups = [g for g in _groups(recorded) if len({run.choices.get(g) for run in recorded}) > 1]
    if groups:
        alike: dict[tuple, list[RecordedSettings]] = {}
        for run in recorded:
            alike.setdefault(tuple(run.choices.get(group) for group in groups), []).append(run)
        within = {key for same_choices in alike.values() for key in _differing(same_choices)}
        overridden = {key for run in recorded for key in run.overridden}
        keys = [key for key in keys if key in within or key in overridden]
    keys = _leading(keys, recorded)
    differences = [
        {group: run.choices.get(group, "") for group in groups} | {key: _shown(run.config, key) for key in keys}
        for run in settings
    ]
    names = [_name(values) if run.config else "" for run, values in zip(settings, differences, strict=True)]
    unique = [
        name if name and names.count(name) == 1 else NAME_JOIN.join(filter(None, (run, name)))
        for run, name in zip(runs, names, strict=True)
    ]
    return unique, differences


def _name(values: Mapping[str, Any]) -> str:
    first = itertools.islice(values.items(), _MOST_IN_NAME)
    return NAME_JOIN.join(f"{key.rsplit('.', 1)[-1]}={_brief(value)}" for key, value in first)


def _brief(value: Any) -> str:
    """Formats a value; rounds numbers, which a sweeper draws with up to seventeen digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _read(path: Path, kind: type = dict) -> Any:
    return with_present_targets(read_yaml(path, "run's settings", kind)) if path.is_file() else kind()


def _groups(settings: Sequence[RecordedSettings]) -> list[str]:
    if not all(run.choices for run in settings):  # a prior file records the settings without the choices
        return []
    groups = dict.fromkeys(group for run in settings for group in run.choices)
    return [group for group in groups if group in settings[0].config]


def _differing(settings: Sequence[RecordedSettings]) -> list[str]:
    configs = [run.config for run in settings]
    return list(dict.fromkeys(key for other in configs[1:] for key in different(configs[0], other, _NOT_COMPARED)))


def _leading(keys: Sequence[str], settings: Sequence[RecordedSettings]) -> list[str]:
    """Removes keys with the same last part and the same value as another in every run.

    `schedule.max_steps`, for example, always equals `trainer.max_steps`.
    """
    values = {(key.rsplit(".", 1)[-1], *(str(_shown(run.config, key)) for run in settings)): key for key in keys}
    return [key for key in keys if key in values.values()]


def _shown(config: Mapping[str, Any], key: str) -> Any:
    value = OmegaConf.select(OmegaConf.create(dict(config)), key, throw_on_resolution_failure=False)
    return value if isinstance(value, int | float | str) else str(value)
