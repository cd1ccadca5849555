"""Damaged command lines and config files, read by the programs up to where the work begins."""

import contextlib
import io
import sys
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from damaged.case import Case, kind
from damaged.mutations import VALUES, of_text
from damaged.runs import _config
from dgn.cli import commands
from dgn.errors import UserError

_PROGRAMS = ("train", "visualize", "compare")
_GROUPS = ("encoder", "comparator", "data", "generator", "discriminator", "loss", "optimizer", "trainer", "logger",
           "target", "method", "judge", "experiment", "task", "recipe", "hydra/launcher", "nonsense")  # fmt: skip
_CHOICES = ("mini_caffenet", "custom", "none", "wandb", "dgn_am", "pixels", "image_folder", "../../etc/passwd", "x",
            "deepsim/fc6", "null", "[a,b]", "[]", "ddp_cpu", "short", "paper")  # fmt: skip


def _leaves(tree: Any, prefix: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        keys += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return keys


def _override(program: str, random: Random) -> str:
    chosen = random.random()
    value = random.choice(VALUES)
    text = str(value) if not isinstance(value, str) else value[:300]
    if chosen < 0.25:
        return f"{random.choice(_GROUPS)}={random.choice(_CHOICES)}"
    key = random.choice(_leaves(_config(program)))
    if chosen < 0.35:
        key = random.choice(("+", "++", "~")) + key
    if chosen < 0.45:
        at = random.randrange(len(key))
        key = key[:at] + random.choice(("", "..", ".x", "[0]", " ", "é", "$", "=")) + key[at + 1 :]
    if chosen > 0.9:
        text = random.choice(("'", '"x', "[1,", "{a:", "${seed}", "${", "${oc.env:X}", "\\", "1,2", "range(3)", "x\ny"))
    return f"{key}={text}".replace("\x00", "0")


@kind("command lines and configs")
def _command_lines(folder: Path, random: Random) -> Case:
    program = random.choice(_PROGRAMS)
    arguments = [_override(program, random) for _ in range(random.choice((1, 1, 2, 5)))]
    if random.random() < 0.05:
        arguments.append(random.choice(("-m", "--cfg", "--help", "--info", "--version", "-p", "--config-dir=nowhere")))
    if random.random() < 0.1:
        configs = folder / "configs" / "experiment"
        configs.mkdir(parents=True)
        text = b"# @package _global_\ndefaults:\n  - override /encoder: mini_resnet\nseed: 4\nschedule:\n  warmup: 3\n"
        (configs / "mine.yaml").write_bytes(of_text(text, random))
        arguments += [f"--config-dir={folder / 'configs'}", "experiment=mine"]
    return Case(lambda: _read(program, arguments, folder), ("",))


class _Begun(BaseException):
    """The program has read its config, and would begin."""


def _read(program: str, arguments: list[str], folder: Path) -> None:
    """Runs a program as far as its work; raises UserError with the line that it ends with."""
    err = io.StringIO()
    begin = mock.Mock(side_effect=_Begun)
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", [program, *arguments]),
        mock.patch("dgn.cli.job.run", begin),
        mock.patch("dgn.cli.visualize._load_inputs", begin),
        mock.patch("dgn.cli.compare.locate_runs", begin),
        contextlib.redirect_stderr(err),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            getattr(commands, program)()
        except _Begun:
            return
        except SystemExit as end:
            if end.code in (None, 0):
                return
            lines = err.getvalue().strip().splitlines()
            raise UserError("\n".join(lines) if end.code == 2 and len(lines) != 1 else lines[-1]) from None
