import subprocess
import sys
from importlib import import_module

import pytest
import yaml

from dgn.cli import renamed
from dgn.errors import UserError


def test_every_present_module_exists() -> None:
    for module in renamed._MOVED.values():
        import_module(module)


def test_a_saved_config_is_read_with_present_paths(tmp_path) -> None:
    saved = {
        "task": {"_target_": "dgn.tasks.prior.fit_prior"},
        "data": {"_target_": "dgn.data.sources.doodles", "image_size": 32},
        "trainer": {"strategy": {"_target_": "dgn.training.replicas.Replicas"}, "devices": [0, 1]},
        "logger": {"csv": {"_target_": "dgn.loggers.csv_logger", "folder": "${run_dir}"}},
        "views": [{"_target_": "dgn.am.views.Jitter", "pixels": 8}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    assert renamed.read_saved(tmp_path / "config.yaml") == {
        "task": {"_target_": "dgn.cli.train_prior.fit_prior"},
        "data": {"_target_": "dgn.data.sources.doodles", "image_size": 32},
        "trainer": {"strategy": {"_target_": "dgn.training.distributed.Replicas"}, "devices": [0, 1]},
        "logger": {"csv": {"_target_": "dgn.runs.loggers.csv_logger", "folder": "${run_dir}"}},
        "views": [{"_target_": "dgn.am.regularizers.Jitter", "pixels": 8}],
    }


def test_a_former_path_in_a_users_config_file_is_refused() -> None:
    config = {"method": {"regularizers": {"jitter": {"_target_": "dgn.am.views.Jitter"}}}}
    with pytest.raises(UserError, match=r"dgn\.am\.views\.Jitter has moved: write dgn\.am\.regularizers\.Jitter"):
        renamed.refuse_former_targets(config)
    renamed.refuse_former_targets({"method": {"_target_": "dgn.am.regularizers.Jitter"}, "parts": [{"_target_": "x"}]})


def test_a_former_key_names_the_present_one() -> None:
    renamed.refuse_former_keys({"canvas_size": 48, "data": {"image_size": 48}})
    with pytest.raises(UserError, match="image_size has been renamed: write canvas_size"):
        renamed.refuse_former_keys({"image_size": 48, "canvas_size": None})


@pytest.mark.parametrize("name", ["published", "sharing"])
def test_a_former_command_names_the_present_one(name) -> None:
    ran = subprocess.run([sys.executable, "-m", f"dgn.{name}", "--help"], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert f"python -m dgn.prior.{name}" in ran.stderr
