"""One-line messages for errors of Hydra and of wrong settings, with the next step."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from dgn.cli.config import compose, plain
from dgn.cli.config_folders import choices, is_group
from dgn.cli.renamed import explain_former_key
from dgn.errors import UserError, first_line
from dgn.runs.programs import command, own_configs

_OF_HYDRA = {"hydra/launcher": ("basic",), "hydra/sweeper": ("basic",)}
"""Choices that have no file of ours."""
_RENAMED = {"loss=deepsim": "loss=short has its weights, for short trainings; loss=paper has the paper's"}
"""Former choices, and what to choose now."""
_WORDS_TOO = ("trainer.devices", "video")
"""Keys that take words beside the number, or true and false, that they have by default."""


def explain(error: BaseException, name: str) -> str:
    """Returns Hydra's message in one line, with the nearest valid key for an unknown one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("full_key", "object_type", "reference_type"))]
    lines = [line for line in lines if not line.startswith(("Config search path", "provider="))]  # Hydra's own affair
    message = "; ".join(dict.fromkeys(lines)) or type(error).__name__
    if match := re.search(r"Could not override '([^']+)'", message):
        if match[1].startswith("trainer."):
            from dgn.cli.trainer_arguments import argument_to_add  # here, as it imports Lightning

            if to_add := argument_to_add(match[1].removeprefix("trainer.")):
                return to_add
        if name != "train" and (renamed := explain_former_key(match[1])):
            return renamed
        known = list(_keys(plain(compose(name, []), resolve=False)))
        last = match[1].rsplit(".", 1)[-1]
        near = difflib.get_close_matches(match[1], known, 3) or [k for k in known if k.rsplit(".", 1)[-1] == last][:3]
        hint = f"did you mean {' or '.join(near)}?" if near else f"keys: {', '.join(k for k in known if '.' not in k)}"
        return f"no key {match[1]!r}; {hint} See {command(name, '--help')}"
    if match := re.search(r"Could not (?:find|load) '(\S+)/([^/']+)'", message):
        group, given = match.groups()
        if renamed := _RENAMED.get(f"{group}={given}"):
            return f"{group}={given} has been renamed: {renamed}"
        there = sorted({*choices(group), *_OF_HYDRA.get(group, ())})
        near = difflib.get_close_matches(given, there, 1)
        if there:
            own = own_configs()
            folders = f"conf/{group}" + ("" if own is None else f", nor of {own / group}")
            hint = f"did you mean {near[0]}? There" if near else "there"
            return f"{group}={given}: no such file of {folders}; {hint} are {', '.join(there)}"
    if match := re.search(r"hydra_plugins\.hydra_(\w+)_(launcher|sweeper)|hydra/sweeper/(sampler)", message):
        extra = {"launcher": "cluster"}.get(match[2], "sweep")
        return f"{match[1] or 'optuna'} is not installed: pip install 'dgn[{extra}]' ({lines[0]})"
    if "Missing mandatory value" in message:
        key = getattr(error, "full_key", None) or message.split(":")[-1].strip()
        return f"{key} is not given; set it with {key}=VALUE (see {command(name, '--help')})"
    return f"{message}; see {command(name, '--help')}"


def of_hydra(error: Exception, several: bool) -> str:
    """What to say where no job could begin, or none came to its end."""
    message = f"{type(error).__name__}: {first_line(error)}"
    if "srun" in message or "slurm" in message.lower():
        return (
            "hydra/launcher=submitit_slurm needs SLURM, and there is none here; hydra/launcher=submitit_local "
            "runs the same way on this machine"
        )
    if isinstance(error, OSError):
        return f"{message}; give hydra.{'sweep' if several else 'run'}.dir a folder that can be written"
    where = "hydra.launcher.* and hydra.sweeper.* (docs/many-runs.md)" if several else "the settings"
    return f"{message}; check {where}"


def wrong_kind(name: str) -> UserError | None:
    """The error for a setting of the wrong kind, which may be the reason for another failure; None if there is none.

    Names the first word of the command line that gives text where the config has a number, or true or false.
    """
    overrides = HydraConfig.get().overrides.task
    chosen = [word for word in overrides if is_group(word.split("=")[0].lstrip("+~"))]
    try:
        usual = compose(name, chosen)
    except Exception:  # what is chosen cannot be had either: the error that there is says more
        return None
    for word in overrides:
        key, _, given = word.partition("=")
        default = None if word in chosen or key[:1] in "+~" or key in _WORDS_TOO else OmegaConf.select(usual, key)
        if isinstance(default, bool | int | float) and isinstance(yaml.safe_load(given or "null"), str):
            kind = "true or false" if isinstance(default, bool) else "a number"
            return UserError(f"{word}: give {kind} (by default {default})")
    return None


def _keys(tree: dict[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
