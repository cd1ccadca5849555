"""What is typed is the name: layers, labels and paths through Hydra's own parser."""

import re
import shlex

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dgn.cli.arguments import hydra_arguments
from dgn.cli.config_folders import package_configs
from dgn.cli.names import is_name, with_names
from dgn.errors import UserError
from dgn.networks.zoo import named
from dgn.report.words import command_for
from dgn.runs.programs import hydra_text, quoted


def read(argument):
    """What Hydra makes of an argument that a user types."""
    (typed,) = hydra_arguments([argument])
    return OverridesParser.create().parse_override(typed)


OF_A_NAME = re.compile(r"\W*(null: )?(the )?(same for one |only )?(image )?(layer|layers|column)\b")
"""How the comment of a key that takes a layer, a column or labels begins."""


def keys_of_names():
    """Every key of conf/ that takes a layer, a column or labels: found by its name, or by how its comment begins."""
    found = set()
    for path in package_configs().rglob("*.yaml"):
        group = path.parent.relative_to(package_configs()).parts
        role = {"network": ("encoder", "judge")}.get(group[0] if group else "", group[:1])
        for line in path.read_text().splitlines():
            if not (entry := re.match(r"(\w+): *([^#]*)#?(.*)", line)):
                continue
            key, value, comment = entry.groups()
            number = isinstance(yaml.safe_load(value), bool | int | float)
            if not number and ("layer" in key or key in ("labels", "nearest") or OF_A_NAME.match(comment)):
                found |= {f"{part}.{key}" for part in role} if role else {key}
    return sorted(found)


def test_the_keys_that_take_names_are_found():
    keys = keys_of_names()
    wanted = {"encoder.layer", "comparator.layers", "target.layer", "judge.layer", "nearest", "facet_layer"}
    assert wanted | {"diversity_layer", "encoder.labels"} <= set(keys)
    assert [key for key in keys if not is_name(key)] == []


def test_a_new_key_would_be_found(tmp_path, monkeypatch):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "new.yaml").write_text("depth: conv1  # the layer to stop at\nwidth: 3  # layers of it\n")
    monkeypatch.setattr(f"{__name__}.package_configs", lambda: tmp_path)
    assert keys_of_names() == ["method.depth"]


NAMES = [
    "5",
    "1.10",
    "10",
    "1_0",
    "1e3",
    "-1",
    "true",
    "nan",
    "6:input",
    "relu@0",
    "layer1.0.relu@0:input",
    "auto",
    "007",
]


@pytest.mark.parametrize("key", keys_of_names())
def test_names_are_kept_as_typed(key):
    for name in NAMES:
        assert read(f"{key}={name}").value() == name
        assert read(f"+{key}={name}").value() == name
    assert read(f"{key}=[{','.join(NAMES)}]").value() == NAMES
    assert read(f"{key}=[5, null]").value() == ["5", "null"]
    assert read(f"{key}=null").value() is None
    assert [v.text for v in read(f"{key}=1.10,2").value().list] == ["1.10", "2"]
    assert [[v.text for v in row] for row in read(f"{key}=[1.10],[2,3]").value().list] == [["1.10"], ["2", "3"]]
    assert read(f"{key}='5'").value() == "5"


PATHS = [
    "epoch=3-step=12.ckpt", "runs/Häuser", "my pictures/a (1)", "50%/x", "a#b", "~/pictures", "a=b=c", "it's", "x\\y\\",
    "a:b", "(", "{a", "[a", "日本", "a;b", "a&b", "a!b", "a<b>", "plain/path.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_what_is_typed(path):
    if path[0] not in "[{":  # a list and a mapping begin so
        for key in ("prior", "data.root", "encoder.weights", "+anything.at.all"):
            assert read(f"{key}={path}").value() == path
    assert OverridesParser.create().parse_override(f"x={quoted(path)}").value() == path


@pytest.mark.parametrize("path", ["5", "1.10", "2024", "1e3", "true", "nan"])
def test_a_path_may_look_like_a_number(path):
    for key in (
        "prior",
        "resume",
        "code_prior",
        "start",
        "data.root",
        "data.val_root",
        "encoder.weights",
        "judge.model",
    ):
        assert read(f"{key}={path}").value() == path
    assert read(f"prior=[{path},a]").value() == [path, "a"]
    assert read("encoder.weights=null").value() is None
    assert read("loss.weights=5").value() == 5


def test_an_existing_path_with_a_comma_is_one_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.ckpt").touch()
    assert read("prior=a,b.ckpt").value() == "a,b.ckpt"
    assert read("prior=a,c.ckpt").is_sweep_override()


@pytest.mark.parametrize(
    "argument",
    ["steps=5", "trainer.max_steps=1e3", "seeds=[1,2]", "-m", "seed=1,2,3", "lr=range(1,5)", "~logger", "x=null",
     "judge=none", "+a={b: 1}", "x=${seed}", "method.regularizers.crop.nearest=15", "generator.width=0.05"],
)  # fmt: skip
def test_everything_else_stays_hydras(argument):
    assert hydra_arguments([argument]) == [argument]


def test_whole_numbers_in_files_are_names_and_others_are_refused():
    config = OmegaConf.create(
        {"encoder": {"layer": 5, "labels": [1, "b"], "width": 3}, "comparator": {"layers": [3, "4"]}, "nearest": "all"}
    )
    assert with_names(config).encoder == {"layer": "5", "labels": ["1", "b"], "width": 3}
    assert config.comparator.layers == ["3", "4"]
    for wrong in (1.1, True):
        with pytest.raises(UserError, match=r"encoder\.layer=.* is a number, but must be a name"):
            with_names(OmegaConf.create({"encoder": {"layer": wrong}}))


@pytest.mark.parametrize("text", [*PATHS, *NAMES, "null", "a, b", 'say "x"', "", "$HOME", "don't\\"])
def test_printed_commands_are_parsed_back_to_the_same_settings(text):
    parse = OverridesParser.create().parse_override
    assert parse(f"x={hydra_text(text)}").value() == text
    # Through the shell, and as a user who copies it types it.
    spec = {"builder": "custom", "model": f"{text}/nets.py:make", "args": {"kind": text}, "labels": [text, "b"]}
    values = {}
    for word in shlex.split(named(spec)):
        (argument,) = hydra_arguments([word])
        override = parse(argument)
        values[override.key_or_group] = override.value()
    assert values["target.model"] == f"{text}/nets.py:make"
    assert values["target.args.kind"] == text
    assert values["target.labels"] == [text, "b"]
    command = command_for("dgn-visualize units=all seeds=2", f"fc8:{text}", text or None)
    words = dict(word.split("=", 1) for word in shlex.split(command)[1:])
    assert parse(f"units={words['units']}").value() == f"fc8:{text}"
    assert not text or parse(f"prior={words['prior']}").value() == text
