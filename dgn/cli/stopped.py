"""A run of visualize.py that is stopped: what it has found is shown, and `resume=` goes on after it."""

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
from omegaconf import DictConfig, OmegaConf

from dgn.cli.config import different, given_overrides, plain
from dgn.cli.renamed import read_saved
from dgn.cli.run_command import gallery_command
from dgn.errors import Interrupted, OtherRun, UserError
from dgn.files import write_whole
from dgn.runs.folders import CONFIG, SEARCHES, STARTED
from dgn.runs.programs import command, override, own_configs_flag
from dgn.visualization.gallery_run import Scene
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
    config: DictConfig
    overrides: Sequence[str]

    def record(self, priors: Sequence[str]) -> None:
        """Writes what resuming the run needs into its folder.

        Args:
            priors: the sources of the priors, as the newest prior may be another one later.
        """
        # Not resolved, so that a method's steps follow `steps` again.
        text = yaml.safe_dump(plain(self.config, resolve=False), sort_keys=False)
        write_whole(self.folder / CONFIG, f"# {gallery_command(self.overrides)}\n{text}")
        started = {"overrides": list(self.overrides), "priors": list(priors)}
        write_whole(self.folder / STARTED, json.dumps(started, indent=1))


def begin_or_resume(config: DictConfig, folder: Path) -> VisualizationRun:
    """Returns the run of a folder: a new one, or with `resume=` the one that was stopped there.

    Raises:
        UserError: If the command gives settings with which it would be another run.
    """
    overrides = [o for o in given_overrides() if not o.startswith("resume=")]
    if config.resume is None or not (folder / STARTED).is_file():
        forget(folder)
        return VisualizationRun(folder, _without_resume(config), overrides)
    started = json.loads((folder / STARTED).read_text(encoding="utf-8"))
    saved = OmegaConf.create(read_saved(folder / CONFIG))
    if HydraConfig.get().mode == RunMode.MULTIRUN:  # the command gives all settings again
        other = different(plain(saved, resolve=False), plain(config, resolve=False), _OF_A_SESSION)
        if other:
            raise OtherRun(
                f"{folder} holds a run with other settings ({', '.join(other[:3])}); start a new multirun without "
                "resume="
            )
    else:
        changed = [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in _OF_A_SESSION]
        if changed:
            raise UserError(
                f"{changed[0]} with resume= would be other searches; resume the run without it, or start a new run "
                "without resume="
            )
    for key in {o.lstrip("+~").partition("=")[0].split(".")[0] for o in overrides} & set(_OF_A_SESSION):
        saved[key] = config[key]
    if saved.prior is None:
        saved.prior = started["priors"] or None
    return VisualizationRun(folder, _without_resume(saved), started["overrides"])


def forget(folder: Path) -> None:
    """Removes what a run keeps for being resumed."""
    shutil.rmtree(folder / SEARCHES, ignore_errors=True)


@contextmanager
def keeping_what_was_found(
    asked: Visualization, scene: Scene, folder: Path, settings: Mapping[str, Any], made_by: str
) -> Iterator[None]:
    """Writes a gallery of the images found so far if the block is stopped by Ctrl-C or SIGTERM.

    A second signal ends the process at once.

    Args:
        asked: what the run is asked to do.
        scene: what it computes with.
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
        found = write_partial_gallery(asked, scene, folder, settings, made_by, resume)
        received = error.signal if isinstance(error, Interrupted) else int(signal.SIGINT)
        raise Interrupted(received, f"stopped {found}; resume with: {resume}") from None


def _without_resume(config: DictConfig) -> DictConfig:
    """Returns the config as that of a new run, so that a resumed one has the same settings."""
    config = config.copy()
    config.resume = None
    return config
