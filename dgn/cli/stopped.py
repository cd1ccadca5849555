"""A run of visualize.py that is stopped: what it has found is shown, and `resume=` goes on after it."""

import itertools
import json
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from dgn.cli.config import different, given_overrides
from dgn.cli.renamed import read_saved
from dgn.cli.run_command import gallery_command
from dgn.errors import Interrupted, OtherRun, UserError
from dgn.files import write_whole
from dgn.records import read_json
from dgn.runs.folders import CONFIG, EVOLUTION, SEARCHES, STARTED
from dgn.runs.programs import command, override, own_configs_flag
from dgn.visualization.gallery_run import GalleryInputs
from dgn.visualization.partial_gallery import write_partial_gallery
from dgn.visualization.settings import Visualization

_OF_A_SESSION = ("resume", "threads", "device", "logger", "comparison", "title")
"""Keys that may differ when a run is resumed: they say where it runs, not what it finds."""


@dataclass(frozen=True)
class VisualizationRun:
    """How a run of visualize.py was started.

    Attributes:
        folder: its folder.
        config: its config; that of the first start if it is resumed.
        overrides: the overrides of the command that started it.
    """

    folder: Path
    config: Mapping[str, Any]
    overrides: Sequence[str]

    def record(self, config: Mapping[str, Any], priors: Sequence[str]) -> None:
        """Writes what resuming the run needs into its folder.

        Args:
            config: the config, with the number of threads.
            priors: the sources of the priors, as the newest prior may be another one later.
        """
        text = yaml.safe_dump(dict(config), sort_keys=False)
        write_whole(self.folder / CONFIG, f"# {gallery_command(self.overrides)}\n{text}")
        started = {"overrides": list(self.overrides), "priors": list(priors)}
        write_whole(self.folder / STARTED, json.dumps(started, indent=1))


def begin_or_resume(config: Mapping[str, Any], folder: Path) -> VisualizationRun:
    """Returns the run of a folder: a new one, or with `resume=` the one that was stopped there.

    Raises:
        UserError: If the command gives settings with which it would be another run.
    """
    overrides = [o for o in given_overrides() if not o.startswith("resume=")]
    if config["resume"] is None or not (folder / STARTED).is_file():
        forget(folder)
        _set_aside(folder / EVOLUTION)
        return VisualizationRun(folder, {**config, "resume": None}, overrides)
    started = read_json(folder / STARTED, "run's beginning")
    for key in ("overrides", "priors"):
        kept = started.get(key)
        if not isinstance(kept, list) or not all(isinstance(name, str) for name in kept):
            raise UserError(f"{folder / STARTED} is damaged: it has no {key}; start a new run without resume=")
    saved = read_saved(folder / CONFIG)
    if "prior" not in saved:
        raise UserError(f"{folder / CONFIG} is damaged: it names no prior; start a new run without resume=")
    given = {o.lstrip("+~").partition("=")[0].split(".")[0]: o for o in overrides}
    if HydraConfig.get().mode == RunMode.MULTIRUN:  # the command gives all settings again
        other = different(saved, config, _OF_A_SESSION)
        if other:
            raise OtherRun(
                f"{folder} holds a run with other settings ({', '.join(other[:3])}); start a new multirun without "
                "resume="
            )
    elif changed := [override for key, override in given.items() if key not in _OF_A_SESSION]:
        raise UserError(
            f"{changed[0]} with resume= would be other searches; resume the run without it, or start a new run "
            "without resume="
        )
    now = {key: config[key] for key in _OF_A_SESSION if key in given}
    prior = saved["prior"] if saved["prior"] is not None else started["priors"] or None
    return VisualizationRun(folder, {**saved, **now, "prior": prior, "resume": None}, started["overrides"])


@contextmanager
def saying_how_to_resume(folder: Path) -> Iterator[None]:
    """Adds the command that resumes a run to the message with which a signal ends the block.

    Raises:
        Interrupted: If the block is stopped by Ctrl-C or SIGTERM.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        received = error.signal if isinstance(error, Interrupted) else int(signal.SIGINT)
        resume = command("visualize", *own_configs_flag(), override("resume", folder))
        raise Interrupted(received, f"stopped; resume with: {resume}") from None


def forget(folder: Path) -> None:
    """Removes what a run keeps for being resumed."""
    shutil.rmtree(folder / SEARCHES, ignore_errors=True)


def _set_aside(folder: Path) -> None:
    """Renames a folder of an earlier run, which may hold what an experiment has measured."""
    if folder.is_dir():
        number = next(n for n in itertools.count(1) if not folder.with_name(f"{folder.name}_{n}").exists())
        folder.rename(folder.with_name(f"{folder.name}_{number}"))


@contextmanager
def keeping_what_was_found(
    asked: Visualization, inputs: GalleryInputs, folder: Path, settings: Mapping[str, Any], made_by: str
) -> Iterator[None]:
    """Writes a gallery of the images found so far if the block is stopped by Ctrl-C or SIGTERM.

    A second signal ends the process at once.

    Args:
        asked: what the run is asked to do.
        inputs: what it computes with.
        folder: its folder.
        settings: its settings.
        made_by: the command that started it.

    Raises:
        Interrupted: If the block is stopped; the message says what was found and how to resume the run.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resume = command("visualize", *own_configs_flag(), override("resume", folder))
        found = write_partial_gallery(asked, inputs, folder, settings, made_by, resume)
        received = error.signal if isinstance(error, Interrupted) else int(signal.SIGINT)
        raise Interrupted(received, f"stopped {found}; resume with: {resume}") from None
