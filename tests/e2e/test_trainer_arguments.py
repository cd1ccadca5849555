"""Arguments of the Trainer, resuming and used folders, as a user meets them."""

import json
import math

import pytest
import torch

from dgn.prior import Prior
from dgn.runs.folders import measured

pytestmark = pytest.mark.e2e

FLOAT32 = "trainer.precision=32-true"


@pytest.fixture(scope="module")
def run(tmp_path_factory, new_user):
    """A run of four steps that validated nothing, with a callback and a plugin of the user's."""
    user = new_user(tmp_path_factory.mktemp("arguments"))
    out, _ = user.run(
        "train.py", *user.tiny, FLOAT32, "trainer.max_steps=4", "checkpoint.every_n_steps=2", "hydra.run.dir=run",
        "+trainer.limit_val_batches=0", "+trainer.profiler=simple",
        "+trainer.callbacks=[{_target_: pytorch_lightning.callbacks.ModelCheckpoint, every_n_train_steps: 3}]",
        "+trainer.plugins=[{_target_: pytorch_lightning.plugins.environments.LightningEnvironment}]",
    )  # fmt: skip
    return user, user.folder / "run", out


def test_a_run_that_validates_nothing_ends_in_a_prior_without_metrics_of_validation(run):
    _, folder, out = run
    assert "not validated" in out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["steps"] == 4
    assert not any(name.startswith("val/") for name in metrics)
    assert math.isnan(measured(folder, "val/psnr"))
    assert Prior.load(folder / "prior.safetensors").about["metrics"]["steps"] == 4


def test_callbacks_and_a_profiler_of_the_users_leave_their_files(run):
    _, folder, _ = run
    assert (folder / "fit-profile.txt").is_file()
    assert (folder / "checkpoints" / "epoch=0-step=3.ckpt").is_file()


def test_an_early_stop_is_a_run_of_fewer_steps(user):
    stop = "{_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/psnr, patience: 0, min_delta: 99}"
    user.run(
        "train.py", *user.tiny, FLOAT32, "trainer.max_steps=30", "trainer.val_check_interval=2", "hydra.run.dir=early",
        f"+trainer.callbacks.stop={stop}",
    )  # fmt: skip
    assert json.loads((user.folder / "early" / "metrics.json").read_text())["steps"] == 4
    assert Prior.load(user.folder / "early" / "prior.safetensors").about["training"]["steps"] == 4


def test_other_networks_and_a_damaged_checkpoint_are_one_line_and_leave_the_run_as_it_is(run):
    user, folder, _ = run
    config, last = (folder / "config.yaml").read_text(), folder / "checkpoints" / "last.ckpt"
    for other in ("generator.width=0.1", "encoder.layer=conv3", "ema_decay=0", "data.image_size=32"):
        _, err = user.run("train.py", f"resume={folder}", "trainer.max_steps=6", other, status=2)
        assert err.startswith(f"error: {other} with resume=")
        assert len(err.splitlines()) == 1
    whole = last.read_bytes()
    last.write_bytes(whole[:-5000])
    _, err = user.run("train.py", f"resume={folder}", "trainer.max_steps=6", status=2)
    assert len(err.splitlines()) == 1
    assert "of step 2" in err
    last.write_bytes(whole)
    assert (folder / "config.yaml").read_text() == config


def test_the_folder_of_a_run_that_failed_at_once_can_be_reused(user):
    settings = [*user.tiny, FLOAT32, "trainer.max_steps=2", "hydra.run.dir=again"]
    user.run("train.py", *settings, "loss.image=-1", status=2)
    user.run("train.py", *settings, "encoder.layer=conv3")
    prior = Prior.load(user.folder / "again" / "prior.safetensors")
    assert prior.layer == "conv3"
    assert "loss.image" not in prior.about["command"]
    _, err = user.run("train.py", *settings, "encoder.layer=fc6", status=2)
    assert "holds a run with other settings (encoder.layer)" in err


@pytest.mark.slow
def test_two_processes_that_accumulate_reach_the_weights_of_one_large_batch(user):
    """D's dropout included; with a rate at which Adam's steps show the gradients, not their rounding."""
    settings = [*user.tiny, FLOAT32, "recipe=paper_short", "trainer.max_steps=4", "optimizer.lr=2e-4"]
    user.run("train.py", *settings, "data.batch_size=16", "hydra.run.dir=large")
    user.run("train.py", *settings, "data.batch_size=4", "accumulate=4", "trainer=ddp_cpu", "hydra.run.dir=parts")
    ends = [torch.load(user.folder / d / "checkpoints" / "last.ckpt", weights_only=True) for d in ("large", "parts")]
    assert ends[0]["balance"] == ends[1]["balance"]
    assert ends[0]["global_step"] == ends[1]["global_step"] == 4
    for name, value in ends[0]["state_dict"].items():
        if value.ndim > 1:
            close = torch.isclose(ends[1]["state_dict"][name], value, rtol=1e-3, atol=1e-4 * float(value.abs().max()))
            assert (~close).float().mean() < 1e-3
    metrics = [json.loads((user.folder / d / "metrics.json").read_text()) for d in ("large", "parts")]
    assert metrics[1]["val/psnr"] == pytest.approx(metrics[0]["val/psnr"], rel=1e-4)
