"""Every command that the program prints, pasted into a shell, is read as it was meant: the same keys and values."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from dgn.cli.arguments import hydra_arguments
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.prior.card import write_card
from dgn.prior.code_prior import CodeAutoencoder, CodePrior
from dgn.prior.statistics import UnitStatistics
from dgn.report.words import command_for
from dgn.runs.folders import CHECKPOINT, PREVIOUS
from dgn.runs.programs import command, override, shared_command
from dgn.training.resuming import damaged

SOURCE = Path(__file__).resolve().parents[2] / "dgn"
HOSTILE = [
    "5", "1.10", "null", "true", "a b", "50%", "epoch=3-step=12", "Häuser (alt)", "(", "#1", "a#b", "ö", "a,b",
    "it's", 'say "x"', "$HOME", "a\\b", "C:\\runs\\", "~x", "[a", "{a}", "*", "a;b&c|d", "!x", "-x", "@file",
    "日本", " a ",
]  # fmt: skip
KEYS = ["resume", "prior", "code_prior", "data.root", "target.layer", "units", "encoder.weights", "hydra.run.dir"]


def pasted(line: str, positional: str | None = None) -> dict:
    """What a command means that is pasted into a shell: {key: value}."""
    program, *words = shlex.split(line)
    assert program.startswith("dgn-") or words.pop(0).endswith(".py")
    parsed = map(OverridesParser.create().parse_override, hydra_arguments(words, positional))
    return {argument.key_or_group: argument.value() for argument in parsed}


def printed(message: object) -> str:
    """The command in a message: between backticks, or behind `&&`."""
    found = re.search(r"`(dgn-.*)`|&& (dgn-.*)$", str(message))
    assert found, message
    return found[1] or found[2]


@pytest.fixture(autouse=True)
def installed(monkeypatch, tmp_path):
    monkeypatch.setenv("DGN_STARTED_AS", "dgn-train")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("value", HOSTILE)
def test_an_override_is_read_as_it_was_meant(value):
    for key in KEYS:
        assert pasted(command("visualize", override(key, value))) == {key: value}


@pytest.mark.parametrize(
    ("started_as", "shown", "shared"),
    [
        ("/home/me/dgn clone/train.py", "python '/home/me/dgn clone/study.py' seeds=2", "python study.py seeds=2"),
        ("train.py", "python study.py seeds=2", "python study.py seeds=2"),
        ("/usr/bin/dgn-train", "dgn-study seeds=2", "dgn-study seeds=2"),
    ],
)
def test_a_page_for_others_does_not_name_the_folder_of_the_program(monkeypatch, started_as, shown, shared):
    monkeypatch.setenv("DGN_STARTED_AS", started_as)
    assert command("study", "seeds=2") == shown
    assert shared_command("study", "seeds=2") == shared


@pytest.mark.parametrize("value", HOSTILE)
def test_commands_of_messages_pages_and_cards_name_the_folder(value, tmp_path):
    folder = tmp_path / value
    (folder / CHECKPOINT).parent.mkdir(parents=True)
    for path in (CHECKPOINT, PREVIOUS):
        torch.save({"state_dict": {}, "global_step": 3}, folder / path)
    message = damaged(folder / CHECKPOINT, "reason")
    assert pasted(printed(message)) == {"resume": str(folder)}
    moved = re.search(r": (mv .*) && ", str(message))
    assert shlex.split(moved[1]) == ["mv", str(folder / PREVIOUS), str(folder / CHECKPOINT)]

    words = pasted(command_for("dgn-visualize units=all", f"fc:{value}", value))
    assert words == {"prior": value, "units": f"fc:{value}"}

    generator = UpconvGenerator((4,), 8, width=0.02)
    about = {
        "layer": "fc",
        "encoder": {"name": "own", "spec": {"builder": "custom", "model": f"{value}.py:make"}, "fingerprint": "a"},
    }
    prior = Prior(generator, UnitStatistics(*torch.rand(4, 4).unbind(), count=3), about, {})
    prior.source = value
    message = ""
    try:
        CodePrior(CodeAutoencoder((4,)), {"layer": "other"}).check(prior)
    except Exception as error:
        message = error
    assert pasted(printed(message)) == {"task": "code_prior", "prior": value}
    try:
        prior.encoder_net()
    except Exception as error:
        message = str(error).partition("name it: ")[2]
    assert pasted(message) == {"prior": value, "target": "custom", "target.model": f"{value}.py:make"}

    prior.save(tmp_path / "prior.safetensors")
    write_card(tmp_path / "prior.safetensors", tmp_path, "ada/one")
    (line,) = re.findall(r"^dgn-visualize .*$", (tmp_path / "README.md").read_text(), re.MULTILINE)
    assert pasted(line) == {"prior": "hf:ada/one", "target": "custom", "target.model": f"{value}.py:make"}


@pytest.mark.parametrize("value", [value for value in HOSTILE if value[0] not in "-"])
def test_runs_to_compare_are_the_paths_that_are_named(value, tmp_path):
    (tmp_path / value).mkdir()
    assert pasted(command("compare", value, "steps=3"), "runs") == {"runs": [value], "steps": 3}


def test_no_command_in_the_source_is_written_without_override():
    """What stands in an argument of `command` is a literal, or comes from `override` or is quoted already."""
    calls = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"):
                continue
            calls += 1
            for argument in node.args:
                formatted = [part for part in ast.walk(argument) if isinstance(part, ast.FormattedValue)]
                assert not formatted, f"{path}:{node.lineno}: give override(KEY, VALUE)"
        for line in re.findall(r"(?:dgn-|python )(?:train|visualize|compare)\S* .*", path.read_text()):
            assert not re.search(r"=\{\w", line), f"{path}: {line}: give command(PROGRAM, override(KEY, VALUE))"
    assert calls > 10
