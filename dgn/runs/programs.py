"""Commands for messages, in the form in which the program was started: `dgn-train` or `python train.py`."""

import os
import re
import shlex
import sys
from pathlib import Path

_FILES = ("train.py", "visualize.py", "compare.py", "toolbox.py", "study.py")
_STARTED_AS = "DGN_STARTED_AS"


def note_program() -> None:
    """Records which program this is, for the processes that it starts: their own command lines are a launcher's."""
    os.environ[_STARTED_AS] = sys.argv[0]


def command(name: str, *arguments: str) -> str:
    """The shell command that runs a program with these arguments, in the form in which this session was started.

    That is `python visualize.py` (with its folder) after `python train.py`; else `dgn-visualize`, which every
    installation has.

    name: train, visualize, compare, study or toolbox.
    arguments: In the syntax of Hydra (`override`), not quoted for the shell.
    """
    started_as = Path(os.environ.get(_STARTED_AS, sys.argv[0]))
    in_checkout = started_as.name in _FILES
    program = ["python", str(started_as.with_name(f"{name}.py"))] if in_checkout else [f"dgn-{name}"]
    return shlex.join([*program, *arguments])


def shared_command(name: str, *arguments: str) -> str:
    """The same command for a page that is read elsewhere: without the folder in which the program lies here."""
    *python, program = shlex.split(command(name))
    return shlex.join([*python, Path(program).name, *arguments])


def override(key: str, value: str | Path) -> str:
    """KEY=VALUE for a command, so that Hydra reads this very value, a path or a name. Not quoted for the shell."""
    return f"{key}={hydra_text(str(value))}"


CONFIG_DIR = "DGN_CONFIG_DIR"
"""The environment holds the folder, so that the processes of a run and the jobs of a multirun have it too."""


def own_configs() -> Path | None:
    """The user's folder of config files, absolute; None where none was given."""
    folder = os.environ.get(CONFIG_DIR)
    return Path(folder) if folder else None


def own_configs_flag() -> list[str]:
    """The argument that makes a command find the user's folder again, for commands shown to a user.

    The folder is relative where it is below the current one.
    """
    folder = own_configs()
    if folder is None:
        return []
    here = Path.cwd()
    return [f"--config-dir={folder.relative_to(here) if folder.is_relative_to(here) else folder}"]


def hydra_text(text: str) -> str:
    """A text as the VALUE of a command's KEY=VALUE, so that Hydra reads this very text.

    Quoted where Hydra would read something else, a number, null, a sweep or nothing at all. Not yet quoted for the
    shell.
    """
    plain = re.fullmatch(r"[A-Za-z_/.][\w./@:+*-]*", text, re.ASCII) and text.lower() not in _VALUES
    return text if plain and not re.fullmatch(r"[._]*[\d_.]+([eE].*)?", text) else quoted(text)


def quoted(text: str) -> str:
    """The text in quotation marks, as Hydra reads them."""
    # Backslashes stand for themselves but before a quotation mark, where each is written twice.
    escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (r"\'" if match[2] else ""), text)
    return f"'{escaped}'"


_VALUES = ("null", "true", "false", "nan", "inf")
