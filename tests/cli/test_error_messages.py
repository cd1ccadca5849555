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
def test_text_for_a_number_is_named(monkeypatch, overrides, says):
    running = SimpleNamespace(overrides=SimpleNamespace(task=overrides))
    monkeypatch.setattr("dgn.cli.error_messages.HydraConfig.get", lambda: running)
    assert says in str(wrong_kind("train"))


@pytest.mark.parametrize(
    "overrides",
    [["data.batch_size=8", "encoder.layer=fc6"], ["trainer.devices=auto"], ["+trainer.profiler=simple"], ["seed=1"]],
)
def test_what_may_be_right_is_not_blamed(monkeypatch, overrides):
    running = SimpleNamespace(overrides=SimpleNamespace(task=overrides))
    monkeypatch.setattr("dgn.cli.error_messages.HydraConfig.get", lambda: running)
    assert wrong_kind("train") is None


def test_a_file_that_a_group_has_not_comes_with_those_that_it_has():
    said = explain(HydraException("In 'train': Could not find 'logger/wanbd'\n\nAvailable options"), "train")
    assert said.startswith("logger=wanbd")
    assert "did you mean wandb?" in said
    assert "tensorboard" in said


def test_a_cluster_that_is_not_there_and_a_folder_that_cannot_be_written_come_with_the_next_step():
    assert "submitit_local" in explain_launch(RuntimeError('Could not detect "srun", on a slurm cluster?'), True)
    assert "hydra.sweep.dir" in explain_launch(PermissionError(13, "Permission denied", "/x"), True)
    assert "hydra.run.dir" in explain_launch(PermissionError(13, "Permission denied", "/x"), False)
