"""Composing configs, resuming saved ones, and comparing two."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from dgn.cli.config_folders import is_group, package_configs, prepare_hydra
from dgn.cli.renamed import read_saved, refuse_former_targets
from dgn.errors import OtherRun, UserError
from dgn.runs.folders import CONFIG, folder_to_resume, holds_run, multirun_to_resume, new_folder
from dgn.runs.programs import command, override
from dgn.runs.ranks import agreed


def register_resolvers() -> None:
    """Registers the resolvers that the config files use.

    `${run_dir:${resume},train,train}`: the folder to resume, or a new one under outputs/train; the last is the program.
    `${sweep_dir:...}`: the same of a multirun, whose jobs are in numbered folders in it. `${command:train}`: how a user
    here starts that program.
    """
    OmegaConf.register_new_resolver(
        "run_dir",
        lambda resume, runs, program: str(
            agreed(lambda name: folder_to_resume(resume, program) or new_folder(runs, name))
        ),
        use_cache=True,
        replace=True,
    )
    OmegaConf.register_new_resolver(
        "sweep_dir",
        lambda resume, overrides, program: str(
            multirun_to_resume(resume, overrides, program) or new_folder("multirun")
        ),
        use_cache=True,
        replace=True,
    )
    OmegaConf.register_new_resolver("command", command, replace=True)


def compose(name: str, overrides: Iterable[str]) -> DictConfig:
    """The config that the command line `python NAME.py OVERRIDES` would have, with the user's own files."""
    prepare_hydra()
    running = GlobalHydra.instance()
    held, running.hydra = running.hydra, None  # Hydra composes for one application at a time
    try:
        with hydra.initialize_config_dir(str(package_configs()), version_base="1.3"):
            config = hydra.compose(name, overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = held
    refuse_former_targets(plain(config, resolve=False))
    return config


def resumed(config: DictConfig, folder: Path) -> DictConfig:
    """The config to run with, where `folder` has a run already.

    With `resume=FOLDER`, it is that run's, with what the command line changes now. Where the command gives all settings
    again (a multirun's job, a requeued one), it is `config` itself. Raises OtherRun for settings that are those of
    another run.
    """
    if not (folder / CONFIG).is_file():
        return config
    says_all = config.resume is None or HydraConfig.get().mode == RunMode.MULTIRUN
    if says_all and not holds_run(folder):  # one failed there before its first checkpoint; this is another
        return config
    saved = OmegaConf.create(read_saved(folder / CONFIG))
    if says_all:
        other = different(plain(saved, resolve=False), plain(config), _OF_A_SESSION)
        if other:
            raise OtherRun(
                f"{folder} holds a run with other settings ({', '.join(other[:3])}); resume it with "
                f"{shlex.quote(override('resume', folder))}, "
                "or choose another folder"
            )
        return config
    changes = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    groups = [change for change in changes if is_group(change.split("=")[0].lstrip("+~"))]
    groups = [change for change in groups if change.split("=")[0] not in ("logger", "trainer")]
    if groups:
        raise UserError(f"{groups[0]} with resume= would be another run; start it without resume=")
    own = [c for c in changes if c.split("=")[0] not in ("logger", "trainer")]
    merged = OmegaConf.merge(saved, OmegaConf.from_dotlist([c.lstrip("+") for c in own]))
    assert isinstance(merged, DictConfig)
    for group in ("logger", "trainer"):  # where this session runs and logs is its own affair
        if any(change.split("=")[0] == group for change in changes):
            merged[group] = config[group]
    if holds_run(folder):
        _check_same_networks(plain(saved), plain(merged))
    return merged


def _check_same_networks(saved: Mapping[str, Any], merged: Mapping[str, Any]) -> None:
    """Raises UserError where settings of the networks differ, whose weights the checkpoint holds."""
    for key in different(saved, merged, but=_MOVABLE):
        (there, here) = (dict(_leaves(config)).get(key) for config in (saved, merged))
        of_networks = f"{key}.".startswith(tuple(f"{name}." for name in _OF_NETWORKS))
        if of_networks or (key in _SWITCHES and bool(there) != bool(here)):
            raise UserError(
                f"{key}={here} with resume= would be another network (the run has {there}); resume it without "
                f"{key}, or start a new run without resume="
            )


def different(a: Mapping[str, Any], b: Mapping[str, Any], but: Iterable[str] = ()) -> list[str]:
    """The keys, dotted, whose values differ between two configs; but: keys that are not looked at, with all below."""
    first, second = dict(_leaves(a)), dict(_leaves(b))
    differing = {key for key in first.keys() & second.keys() if first[key] != second[key]}
    differing |= first.keys() ^ second.keys()
    keys = [key for key in {**first, **second} if key in differing]
    return [key for key in keys if not any(f"{key}.".startswith(f"{left}.") for left in but)]


def given_overrides() -> list[str]:
    """The overrides of the command line, without Hydra's own; none where no command line was read."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The config as plain values, its interpolations resolved."""
    values: Any = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=False)
    return values


def keys_without_value(values: Mapping[str, Any]) -> list[str]:
    """The keys, dotted, that a config file leaves to the user (`???`), and that have no value yet."""
    return [key for key, value in _leaves(values) if isinstance(value, str) and value == MISSING]


def check_complete(values: Mapping[str, Any], name: str) -> None:
    """Raises UserError if a key of the config has no value. name: train, visualize or compare."""
    for key in keys_without_value(values):
        raise UserError(explain_no_value(key, name))


def explain_no_value(key: str, name: str) -> str:
    return f"{key} has no value; set it with {key}=VALUE (see {command(name, '--help')})"


_OF_A_SESSION = (
    "resume",
    "threads",
    "trainer",
    "schedule.max_steps",
    "logger",
    "checkpoint",
    "comparison",
    "metric",
    "data.num_workers",
)
"""Keys that say where and how long a run runs, not what it is."""


_OF_NETWORKS = (
    "task",
    "prior",
    "encoder",
    "comparator",
    "generator",
    "discriminator",
    "code_prior.width",
    "data._target_",
    "data.image_size",
)
"""Keys that say what the networks are, whose weights a checkpoint holds."""

_MOVABLE = ("encoder.weights", "encoder.labels", "encoder.model", "comparator.weights", "comparator.model")
"""Keys among them that name files, which may have moved since."""

_SWITCHES = ("ema_decay", "loss.adversarial")
"""Keys whose 0 leaves out a network: the average of G, or D."""


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
