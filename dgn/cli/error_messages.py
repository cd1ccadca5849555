"""One-line messages for errors of Hydra and of wrong settings, with the next step."""

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from dgn.cli.config import compose, explain_no_value, plain
from dgn.cli.config_folders import choices, is_group
from dgn.cli.renamed import explain_former_key
from dgn.errors import UserError, first_line
from dgn.runs.programs import command, own_configs

_BUILT_IN = {"hydra/launcher": ("basic",), "hydra/sweeper": ("basic",)}
"""Choices that Hydra provides, without a file in conf/."""
_RENAMED = {"loss=deepsim": "loss=short has its weights, for short trainings; loss=paper has the paper's"}
"""Former choices, and their replacements."""
_ACCEPT_TEXT = ("trainer.devices", "video")
"""Keys that also accept text, although their default is a number or a boolean."""


def _owners(key: str, name: str) -> list[str]:
    """Returns the choices of a key's group, as `group=choice`, whose files have this key: at most three."""
    group = key.split(".", 1)[0]
    owners = []
    for choice in choices(group) if "." in key else ():
        with suppress(Exception):  # a choice that needs other settings
            if key in _keys(plain(compose(name, [f"{group}={choice}"]), resolve=False)):
                owners.append(f"{group}={choice}")
    return owners[:3]


def explain(error: BaseException, name: str) -> str:
    """Returns the message of an error of Hydra in one line, with the nearest valid key for an unknown one.

    Args:
        error: The error.
        name: The program's name: train, visualize or compare.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("full_key", "object_type", "reference_type"))]
    lines = [line for line in lines if not line.startswith(("Config search path", "provider="))]  # details
    message = "; ".join(dict.fromkeys(lines)) or type(error).__name__
    if match := re.search(r"Could not override '([^']+)'", message):
        if match[1].startswith("trainer."):
            from dgn.cli.trainer_arguments import argument_to_add  # here, as it imports Lightning

            if to_add := argument_to_add(match[1].removeprefix("trainer.")):
                return to_add
        if name != "train" and (renamed := explain_former_key(match[1])):
            return renamed
        if owners := _owners(match[1], name):
            return f"no key {match[1]!r} with the chosen files; it is a key of {' and '.join(owners)}"
        keys = list(_keys(plain(compose(name, []), resolve=False)))
        last = match[1].rsplit(".", 1)[-1]
        near = difflib.get_close_matches(match[1], keys, 3) or [k for k in keys if k.rsplit(".", 1)[-1] == last][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else f"keys: {', '.join(k for k in keys if '.' not in k)}"
        return f"no key {match[1]!r}; {hint} See {command(name, '--help')}"
    if match := re.search(r"Could not (?:find|load) '(\S+)/([^/']+)'", message):
        group, choice = match.groups()
        if renamed := _RENAMED.get(f"{group}={choice}"):
            return f"{group}={choice} has been renamed: {renamed}"
        available = sorted({*choices(group), *_BUILT_IN.get(group, ())})
        near = difflib.get_close_matches(choice, available, 1)
        if available:
            folder = own_configs()
            folders = f"conf/{group}" + ("" if folder is None else f" or {folder / group}")
            hint = f"did you mean {near[0]}? " if near else ""
            return f"{group}={choice}: no such file in {folders}; {hint}available: {', '.join(available)}"
    if match := re.search(r"hydra_plugins\.hydra_(\w+)_(launcher|sweeper)|hydra/sweeper/(sampler)", message):
        extra = {"launcher": "cluster"}.get(match[2], "sweep")
        return f"{match[1] or 'optuna'} is not installed: pip install 'dgn[{extra}]' ({lines[0]})"
    if "Missing mandatory value" in message:
        key = getattr(error, "full_key", None) or message.split(":")[-1].strip()
        return explain_no_value(key, name)
    return f"{message}; see {command(name, '--help')}"


def explain_launch(error: Exception, several: bool) -> str:
    """Returns the message for an error outside of any job: of Hydra, a launcher or a sweeper.

    Args:
        error: The error.
        several: Whether the command is a multirun.
    """
    message = f"{type(error).__name__}: {first_line(error)}"
    if "srun" in message or "slurm" in message.lower():
        return (
            "hydra/launcher=submitit_slurm needs SLURM, which is not available here; hydra/launcher=submitit_local "
            "runs the jobs on this machine"
        )
    if isinstance(error, OSError):
        return f"{message}; set hydra.{'sweep' if several else 'run'}.dir to a folder that can be written"
    where = "hydra.launcher.* and hydra.sweeper.* (docs/many-runs.md)" if several else "the settings"
    return f"{message}; check {where}"


def wrong_kind(name: str) -> UserError | None:
    """Returns an error for a setting of the wrong type, which may have caused another failure; None if there is none.

    The message names the first override of the command line that is text where the default is a number or a boolean.
    """
    overrides = HydraConfig.get().overrides.task
    group_choices = [override for override in overrides if is_group(override.split("=")[0].lstrip("+~"))]
    try:
        defaults = compose(name, group_choices)
    except Exception:  # the choices cannot be composed: the original error says more
        return None
    for override in overrides:
        key, _, text = override.partition("=")
        if override in group_choices or key[:1] in "+~" or key in _ACCEPT_TEXT:
            continue
        default = OmegaConf.select(defaults, key)
        if isinstance(default, bool | int | float) and isinstance(yaml.safe_load(text or "null"), str):
            kind = "true or false" if isinstance(default, bool) else "a number"
            return UserError(f"{override}: give {kind} (default: {default})")
    return None


def _keys(tree: dict[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
