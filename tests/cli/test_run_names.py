import yaml

from dgn.cli.run_names import name_runs, read_settings

BASE = {"encoder": {"layer": "fc6", "name": "mini"}, "loss": {"adversarial": 100}, "trainer": {"max_steps": 8}}


def runs(tmp_path, *configs, choices=()):
    """Folders of runs with these configs, and the files that were chosen of their groups."""
    for number, config in enumerate(configs):
        (tmp_path / str(number) / ".hydra").mkdir(parents=True)
        (tmp_path / str(number) / "config.yaml").write_text(yaml.safe_dump(config))
        hydra = {"hydra": {"runtime": {"choices": choices[number] if choices else {}}}}
        (tmp_path / str(number) / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra))
    return [tmp_path / str(number) for number in range(len(configs))]


def named(folders):
    return name_runs([folder.name for folder in folders], [read_settings(folder) for folder in folders])


def test_runs_are_named_after_the_settings_in_which_they_differ(tmp_path):
    other = BASE | {"encoder": {"layer": "fc7", "name": "mini"}, "loss": {"adversarial": 0}, "resume": "auto"}
    names, settings = named(runs(tmp_path, BASE, other))
    assert names == ["layer=fc6 · adversarial=100", "layer=fc7 · adversarial=0"]
    assert settings[1] == {"encoder.layer": "fc7", "loss.adversarial": 0}


def test_a_choice_stands_for_what_follows_from_it_and_not_for_what_differs_within_it(tmp_path):
    resnet = {"encoder": {"layer": "fc6", "name": "resnet"}, "comparator": {"layers": "conv5"}}
    choices = [{"encoder": "mini_caffenet"}, {"encoder": "mini_resnet"}, {"encoder": "mini_resnet"}]
    folders = runs(tmp_path, BASE, BASE | resnet, BASE | resnet, choices=choices)
    names, _ = named(folders)
    assert names == ["encoder=mini_caffenet", "1 · encoder=mini_resnet", "2 · encoder=mini_resnet"]
    deeper = BASE | resnet | {"encoder": {"layer": "fc7", "name": "resnet"}}
    (folders[2] / "config.yaml").write_text(yaml.safe_dump(deeper))
    names, _ = named(folders)
    assert names[1:] == ["encoder=mini_resnet · layer=fc6", "encoder=mini_resnet · layer=fc7"]


def test_a_setting_that_follows_another_is_not_listed_twice(tmp_path):
    both = [BASE | {"trainer": {"max_steps": n}, "schedule": {"max_steps": n}} for n in (8, 9)]
    names, settings = named(runs(tmp_path, *both))
    assert names == ["max_steps=8", "max_steps=9"]
    assert [len(differences) for differences in settings] == [1, 1]


def test_runs_without_a_config_are_named_after_their_folders(tmp_path):
    (tmp_path / "old").mkdir()
    folders = [*runs(tmp_path, BASE, BASE), tmp_path / "old"]
    assert named(folders)[0] == ["0", "1", "old"]


def test_numbers_in_run_names_are_rounded_unless_names_would_be_equal(tmp_path):
    drawn = [BASE | {"loss": {"adversarial": value}} for value in (64.31172050131988, 20.547625125911335)]
    names, settings = named(runs(tmp_path / "a", *drawn))
    assert names == ["adversarial=64.3", "adversarial=20.5"]
    assert settings[0] == {"loss.adversarial": 64.31172050131988}
    alike = [BASE | {"loss": {"adversarial": value}} for value in (64.311, 64.312)]
    names, _ = named(runs(tmp_path / "b", *alike))
    assert names == ["0 · adversarial=64.3", "1 · adversarial=64.3"]
