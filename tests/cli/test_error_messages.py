"""A wrong setting gives one line that names it, and never names a valid one."""

from types import SimpleNamespace

import pytest
from hydra.errors import HydraException

from dgn.cli.error_messages import explain, explain_launch, wrong_kind


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.batch_size=x"], "data.batch_size=x: give a number (default: 16)"),
        (["encoder.layer=fc7", "trainer.enable_progress_bar=maybe"], "give true or false (default: True)"),
        (["data=image_folder", "data.batch_size=many"], "data.batch_size=many: give a number"),
    ],
)
def test_text_instead_of_a_number_is_reported(monkeypatch, overrides, says):
    running = SimpleNamespace(overrides=SimpleNamespace(task=overrides))
    monkeypatch.setattr("dgn.cli.error_messages.HydraConfig.get", lambda: running)
    assert says in str(wrong_kind("train"))


@pytest.mark.parametrize(
    "overrides",
    [["data.batch_size=8", "encoder.layer=fc6"], ["trainer.devices=auto"], ["+trainer.profiler=simple"], ["seed=1"]],
)
def test_valid_gradients_are_not_reported(monkeypatch, overrides):
    running = SimpleNamespace(overrides=SimpleNamespace(task=overrides))
    monkeypatch.setattr("dgn.cli.error_messages.HydraConfig.get", lambda: running)
    assert wrong_kind("train") is None


def test_an_unknown_config_file_is_reported_with_the_available_ones():
    said = explain(HydraException("In 'train': Could not find 'logger/wanbd'\n\nAvailable options"), "train")
    assert said.startswith("logger=wanbd")
    assert "did you mean wandb?" in said
    assert "tensorboard" in said


def test_a_missing_cluster_and_an_unwritable_folder_are_reported_with_the_next_step():
    assert "submitit_local" in explain_launch(RuntimeError('Could not detect "srun", on a slurm cluster?'), True)
    assert "hydra.sweep.dir" in explain_launch(PermissionError(13, "Permission denied", "/x"), True)
    assert "hydra.run.dir" in explain_launch(PermissionError(13, "Permission denied", "/x"), False)
