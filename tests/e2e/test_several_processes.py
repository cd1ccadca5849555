"""trainer=ddp_cpu: two processes that train one prior, alone and inside a multirun tracked in W&B."""

import json
import signal
import time

import psutil
import pytest
import torch

from dgn.prior import Prior

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def both(tmp_path_factory, new_user):
    """The same two trainings twice: as a multirun of pairs of processes, tracked in W&B, and in one process."""
    user = new_user(tmp_path_factory.mktemp("both"))
    arguments = [*user.tiny, "comparison.enabled=false", "optimizer.lr=2e-4"]
    user.run(
        "train.py", "-m", *arguments, "trainer=ddp_cpu", "logger=wandb", "trainer.max_steps=20,4", "hydra.sweep.dir=two"
    )
    user.run("train.py", *arguments, "trainer.max_steps=20", "hydra.run.dir=one")
    return user


def test_two_processes_reach_the_weights_of_one(both):
    """The same global batches, D's dropout included, over 20 steps.

    Of a gradient that is nothing but rounding Adam makes a whole step, so one element in a thousand may differ by more:
    the first layer's weights of units of the code that are 0 in nearly all images. Biases begin at 0 and have no scale
    but their way: of every tensor, what the two differ by is no hundredth of what the last 16 steps moved."""
    one, two, short = (
        Prior.load(both.folder / run / "prior.safetensors").generator.state_dict() for run in ("one", "two/0", "two/1")
    )
    for name, value in one.items():
        close = torch.isclose(two[name], value, rtol=1e-3, atol=1e-4 * float(value.abs().max()))
        assert name.endswith("bias") or (~close).float().mean() < 1e-3
        if name.startswith("layers"):
            assert (two[name] - value).norm() < 0.01 * (value - short[name]).norm()
    assert any(not torch.allclose(short[name], value) for name, value in one.items())
    checkpoints = [
        torch.load(both.folder / run / "checkpoints" / "last.ckpt", weights_only=True) for run in ("one", "two/0")
    ]
    assert checkpoints[0]["balance"] == checkpoints[1]["balance"]
    assert checkpoints[0]["global_step"] == checkpoints[1]["global_step"] == 20


def test_two_processes_measure_what_one_measures(both):
    one, two = (json.loads((both.folder / run / "metrics.json").read_text()) for run in ("one", "two/0"))
    for name in ("val/psnr", "val/feature_distance", "val/code_error"):
        assert two[name] == pytest.approx(one[name], rel=1e-4)


def test_every_job_is_one_folder_one_prior_and_one_run_of_wandb(both, wandb_runs):
    folders = sorted(path.name for path in (both.folder / "two").iterdir() if path.is_dir())
    assert folders == ["0", "1"]
    assert not (both.folder / "outputs").exists()
    assert len(list(both.folder.glob("two/**/prior.safetensors"))) == 2
    for job, steps in zip(folders, (20, 4), strict=True):
        (tracked,) = wandb_runs(both.folder / "two" / job)
        assert len(tracked.values("val/psnr")) == 1
        assert len(tracked.values("train/loss_image")) == steps // 2
        assert len(tracked.artifacts) == 1
        assert tracked.run.run_group == "two"


def test_a_run_of_two_processes_resumes_in_one(both):
    said, _ = both.run("train.py", f"resume={both.folder / 'two' / '1'}", "trainer=auto", "trainer.max_steps=6")
    assert said.strip().endswith("prior.safetensors")
    assert json.loads((both.folder / "two" / "1" / "metrics.json").read_text())["steps"] == 6


def test_a_stopped_run_leaves_no_process(both):
    settings = [*both.tiny, "trainer=ddp_cpu", "trainer.max_steps=100000", "checkpoint.every_n_steps=5"]
    process = both.start("train.py", *settings, "hydra.run.dir=stopped", "logger=wandb")
    checkpoint = both.folder / "stopped" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGINT, err
    assert f"resume={both.folder / 'stopped'}" in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def test_ddp_without_gpus_is_reported_with_the_next_step(user):
    _, err = user.run("train.py", *[s for s in user.tiny if "accelerator" not in s], "trainer=ddp", status=2)
    assert "trainer=ddp_cpu" in err


def test_several_devices_without_ddp_are_refused_and_not_started_by_lightning(user):
    said, err = user.run("train.py", *user.tiny, "trainer.devices=2", status=2)
    assert "trainer=ddp_cpu" in err
    assert "Training a prior" not in said


def test_a_job_of_joblib_starts_its_own_processes(user, wandb_runs):
    """Data workers that draw the pictures (the cache is empty), and the pair of a prior's training."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    user.environment |= {"DGN_CACHE": str(user.folder / "empty"), "WANDB_MODE": "offline"}
    settings = [*user.tiny, "trainer=ddp_cpu", "trainer.max_steps=2", "comparison.enabled=false", "logger=[csv,wandb]"]
    user.run("train.py", "-m", *settings, "hydra/launcher=joblib", "hydra.sweep.dir=side")
    assert (user.folder / "side" / "0" / "prior.safetensors").is_file()
    assert len(wandb_runs(user.folder / "side" / "0")) == 1
