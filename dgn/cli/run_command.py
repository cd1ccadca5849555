"""The command that makes a run, as its files and its page show it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from dgn.records import read_yaml
from dgn.runs.folders import CONFIG, holds_run, read_command
from dgn.runs.programs import command, own_configs_flag


def gallery_command(overrides: Sequence[str]) -> str:
    """Returns the command of a run of visualize.py with these overrides.

    A list of methods, which Hydra has read as `method=` and `methods=` (`dgn.cli.arguments`), is one list again.
    """
    overrides = list(overrides)
    names = [o.partition("=")[2].strip("[]") for o in overrides if o.startswith(("method=", "methods="))]
    if any(o.startswith("methods=") for o in overrides):
        overrides = [o for o in overrides if not o.startswith(("method=", "methods="))]
        overrides.insert(0, f"method=[{','.join(filter(None, names))}]")
    return command("visualize", *own_configs_flag(), *overrides)


def training_command(folder: Path) -> str:
    """Returns the command that makes the training run of a folder.

    A resumed run keeps its command, except for settings that are given again, such as more steps. The overrides are
    read from the folder, as the processes of a run and the tests have no command line.
    """
    file = folder / ".hydra" / "overrides.yaml"
    overrides = [str(line) for line in read_yaml(file, "run's overrides", list)] if file.is_file() else []
    resumed = any(override.startswith("resume=") for override in overrides)
    given = [*own_configs_flag(), *(o for o in overrides if not o.startswith("resume="))]  # not a setting of the run
    words = [*shlex.split(command("train")), *given]
    if (folder / CONFIG).is_file() and (resumed or holds_run(folder)):
        replaced = {word.split("=")[0] for word in given}
        words = [word for word in shlex.split(read_command(folder)) if word.split("=")[0] not in replaced] + given
    return shlex.join(words)
