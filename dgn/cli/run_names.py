"""Names for runs from the settings in which they differ, read from the folder of each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from dgn.cli.config import different
from dgn.cli.renamed import with_present_targets
from dgn.prior import Prior
from dgn.runs.folders import CONFIG

NAME_JOIN = " · "
"""Between the settings in a run's name; a comparison's figure puts each on a line of its own."""
_IN_A_NAME = 4
_NOT_COMPARED = ("resume", "logger", "comparison", "checkpoint", "hydra")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run.

    Attributes:
        config: The run's config, as plain values.
        choices: {group: the file that was chosen of it}.
        given: The keys that its command set. Empty where the folder does not record them.
    """

    config: Mapping[str, Any]
    choices: Mapping[str, str]
    given: Sequence[str]


def read_settings(run: Path) -> RunSettings:
    """Reads the settings of a run from its folder, or from a prior file."""
    if run.is_file():
        return RunSettings(with_present_targets(Prior.load(run).about.get("config", {})), {}, [])
    hydra = _read(run / ".hydra" / "hydra.yaml")
    choices = hydra.get("hydra", {}).get("runtime", {}).get("choices", {})
    given = [override.split("=")[0].lstrip("+~") for override in _read(run / ".hydra" / "overrides.yaml")]
    return RunSettings(_read(run / CONFIG) or _read(run / ".hydra" / "config.yaml"), choices, given)


def name_runs(runs: Sequence[str], settings: Sequence[RunSettings]) -> tuple[list[str], list[dict[str, Any]]]:
    """A name for each run, and {setting: value} for the settings in which any two of them differ.

    runs: the name of each where its settings do not distinguish it from the others. Where they differ in a choice
    (`encoder=mini_resnet`), that stands for all that follows from it.
    """
    known = [of for of in settings if of.config]
    keys = _differing(known)
    groups = [g for g in _groups(known) if len({of.choices.get(g) for of in known}) > 1]
    if groups:
        alike: dict[tuple, list[RunSettings]] = {}
        for of in known:
            alike.setdefault(tuple(of.choices.get(group) for group in groups), []).append(of)
        within = {key for some in alike.values() for key in _differing(some)}
        given = {key for of in known for key in of.given}
        keys = [key for key in keys if key in within or key in given]
    keys = _leading(keys, known)
    found = [
        {group: of.choices.get(group, "") for group in groups} | {key: _shown(of.config, key) for key in keys}
        for of in settings
    ]
    names = [
        NAME_JOIN.join(f"{key.rsplit('.', 1)[-1]}={_brief(value)}" for key, value in list(told.items())[:_IN_A_NAME])
        if of.config
        else ""
        for of, told in zip(settings, found, strict=True)
    ]
    unique = [
        name if name and names.count(name) == 1 else NAME_JOIN.join(filter(None, (run, name)))
        for run, name in zip(runs, names, strict=True)
    ]
    return unique, found


def _brief(value: Any) -> str:
    """As much of a number as a name has room for: a sweeper draws it to seventeen digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> Any:
    return with_present_targets(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def _groups(settings: Sequence[RunSettings]) -> list[str]:
    if not all(of.choices for of in settings):  # a prior file alone says what was set, and not by which file
        return []
    return [group for group in dict.fromkeys(g for of in settings for g in of.choices) if group in settings[0].config]


def _differing(settings: Sequence[RunSettings]) -> list[str]:
    configs = [of.config for of in settings]
    return list(dict.fromkeys(key for of in configs[1:] for key in different(configs[0], of, _NOT_COMPARED)))


def _leading(keys: Sequence[str], settings: Sequence[RunSettings]) -> list[str]:
    """The keys without those that follow another of that name in every run (schedule.max_steps: trainer.max_steps)."""
    values = {(key.rsplit(".", 1)[-1], *(str(_shown(of.config, key)) for of in settings)): key for key in keys}
    return [key for key in keys if key in values.values()]


def _shown(config: Mapping[str, Any], key: str) -> Any:
    value = OmegaConf.select(OmegaConf.create(dict(config)), key, throw_on_resolution_failure=False)
    return value if isinstance(value, int | float | str) else str(value)
