"""The config groups: each is described in the help, and tasks choose among them."""

import re
import shutil

import pytest
import yaml

from dgn.cli import config, config_folders, embedded
from dgn.cli.config import compose, keys_without_value, plain
from dgn.cli.config_folders import package_configs

COMMANDS = ("train", "visualize", "compare", "study", "toolbox")


def groups_of(command: str) -> list[str]:
    """The groups in the defaults list of a command's config."""
    groups = []
    for entry in yaml.safe_load((package_configs() / f"{command}.yaml").read_text())["defaults"]:
        if isinstance(entry, dict):
            (key,) = entry
            if not key.startswith("override"):
                groups.append(key.removeprefix("optional "))
    return groups


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_describes_every_group_that_a_user_may_choose(command):
    text = (package_configs() / "hydra" / "help" / f"{command}.yaml").read_text()
    assert len(groups_of(command)) > 4
    described: set[str] = set()
    for line in text.splitlines():
        names = re.match(r"    ([a-z_, ]+?)  ", line)
        described |= set(re.findall(r"[a-z_]+", names.group(1))) if names else set()
    assert [group for group in groups_of(command) if group not in described] == []


def keys_of(tree, prefix: str = "") -> set[str]:
    """The dotted keys of a tree of values, of inner and of outer ones."""
    keys = set()
    for key, value in tree.items():
        keys.add(f"{prefix}{key}")
        if isinstance(value, dict):
            keys |= keys_of(value, f"{prefix}{key}.")
    return keys


def leaves_of(group: str) -> list[str]:
    """The names that a group of the package can be set to."""
    return sorted(file.stem for file in (package_configs() / group).glob("*.yaml"))


def keys_of_no_leaf(command: str, keys: set[str]) -> set[str]:
    """Those of the keys that a command's config has with no leaf of any of its groups."""
    keys = keys - keys_of(plain(compose(command, []), resolve=False))
    groups = set(groups_of(command)) - {"experiment", "local"}  # these have the keys of the others
    prefixes = {key.split(".")[0] for key in keys}
    for group in sorted(groups, key=lambda group: group not in prefixes):  # the likely ones first
        for leaf in leaves_of(group):
            if not keys:
                return keys
            choice = f"{group}=[{leaf}]" if group in ("callbacks", "logger") else f"{group}={leaf}"
            keys = keys - keys_of(plain(compose(command, [choice]), resolve=False))
    return keys


def helped(command: str) -> str:
    """The part of a command's help that explains its keys."""
    text = (package_configs() / "hydra" / "help" / f"{command}.yaml").read_text()
    return text[text.index("  Keys\n") : text.index("hydra.run.dir")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_that_the_help_names_is_one_of_a_leaf(command):
    words = re.findall(r"(?<![\w./:])([a-z_]+(?:\.[a-z_]+)+)", helped(command))
    keys = [word for word in words if word.split(".")[-1] not in ("py", "md", "yaml")]
    assert command in ("compare", "toolbox") or len(keys) > 2
    assert keys_of_no_leaf(command, set(keys)) == set()


@pytest.mark.parametrize(
    ("command", "group"),
    [
        *(
            ("train", name)
            for name in ("task", "data", "loss", "optimizer", "schedule", "callbacks", "logger", "debug")
        ),
        *(("visualize", name) for name in ("logger", "similarity")),
        ("compare", "logger"),
        ("study", "study"),
    ],
)
def test_the_help_names_every_leaf_of_a_group_with_few(command, group):
    (entry,) = re.findall(rf"\n    {group}  .*(?:\n     .*)*", helped(command))
    leaves = [leaf for leaf in leaves_of(group) if (group, leaf) != ("callbacks", "none")]
    assert leaves
    assert [leaf for leaf in leaves if not re.search(rf"\b{leaf}\b", entry)] == []


@pytest.mark.parametrize(
    ("overrides", "optimizer", "schedule"),
    [
        ([], "Adam", "halve"),
        (["task=encoder"], "AdamW", "one_cycle"),
        (["task=code_prior"], "Adam", "one_cycle"),
        (["task=encoder", "optimizer=adam", "schedule=halve"], "Adam", "halve"),
        (["experiment=deepsim/fc6"], "Adam", "halve"),
        (["experiment=deepsim/fc6", "task=encoder"], "Adam", "halve"),
    ],
)
def test_tasks_choose_optimizer_and_schedule(overrides, optimizer, schedule):
    config = compose("train", overrides)
    assert config.optimizer._target_.rpartition(".")[2] == optimizer
    assert config.schedule._target_.rpartition(".")[2] == schedule
    assert None not in dict(config.schedule).values()  # no group has to undo another's keys


@pytest.mark.parametrize(
    ("command", "overrides", "role"),
    [
        ("train", ["experiment=embedded/encoder", "encoder=caffenet", "encoder.weights=W", "logger=none"], "encoder"),
        ("train", ["experiment=embedded/judge", "encoder=caffenet", "encoder.weights=W", "logger=none"], "encoder"),
        ("visualize", ["experiment=random_search", "target=caffenet", "target.weights=W"], "target"),
    ],
)
def test_experiments_compose_with_imagenet_and_caffenet(command, overrides, role):  # deepsim's have both by default
    config = plain(compose(command, [*overrides, "data=imagenet", "data.root=R"]))
    assert not keys_without_value(config)
    assert config["data"]["name"] == "imagenet"
    assert config[role]["_target_"].endswith(".caffenet")


def test_callbacks_are_chosen_by_name_and_monitor_the_tasks_metric():
    config = compose("train", ["callbacks=[early_stopping,timer]", "task=encoder"])
    assert list(config.trainer.callbacks) == ["early_stopping", "timer"]
    assert config.trainer.callbacks.early_stopping.monitor == "val/accuracy"
    assert "callbacks" not in compose("train", []).trainer


def test_settings_of_the_machine_are_read_last(tmp_path, monkeypatch):
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "default.yaml").write_text("# @package _global_\nseed: 7\n")
    monkeypatch.setenv("DGN_CONFIG_DIR", str(tmp_path))
    for command in ("train", "visualize"):
        assert compose(command, []).seed == 7
        assert compose(command, ["seed=8"]).seed == 8
    monkeypatch.delenv("DGN_CONFIG_DIR")
    assert compose("train", []).seed == 0


def test_they_do_not_change_the_embedded_networks(tmp_path, monkeypatch):
    shutil.copytree(package_configs(), tmp_path / "conf")
    before = embedded._config("encoder")
    (tmp_path / "conf" / "local").mkdir()
    (tmp_path / "conf" / "local" / "default.yaml").write_text("# @package _global_\nseed: 7\n")
    monkeypatch.setattr(config_folders, "package_configs", lambda: tmp_path / "conf")
    monkeypatch.setattr(config, "package_configs", lambda: tmp_path / "conf", raising=False)
    assert compose("train", []).seed == 7
    assert embedded._config("encoder") == before


@pytest.mark.parametrize("command", COMMANDS)
def test_data_of_every_kind_finds_the_keys_that_it_refers_to(command):
    text = (package_configs() / f"{command}.yaml").read_text(encoding="utf-8")
    keys = yaml.safe_load(text)
    for leaf in (package_configs() / "data").glob("*.yaml"):
        for key in re.findall(r"\$\{([a-z_]+)\}", leaf.read_text(encoding="utf-8")):
            assert key in keys, f"data={leaf.stem} of {command}.py refers to {key}"
