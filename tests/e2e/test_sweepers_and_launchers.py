"""Sweepers and launchers: their settings, and the runs that they start."""

import csv
import json
import os
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.e2e

_LATE = """
import os, sys, time

class Late:
    def find_spec(self, name, *_):
        if name == "dgn.cli.train_prior":
            time.sleep(8)

if os.environ.get("RANK") == "0":
    sys.meta_path.insert(0, Late())
"""
"""As Python's sitecustomize: in the process of rank 0, what comes after the choice of the folder comes late."""


def test_train_returns_the_metric_to_the_sweeper(user):
    """Optuna minimizes what train.py returns: its best value is the least of the runs' metrics."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    settings = [*user.tiny, "trainer.max_steps=1", "metric=val/code_error", "comparison.enabled=false"]
    study = ["hydra/sweeper=optuna", "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=2"]
    user.run("train.py", "-m", *settings, *study, "hydra.sweep.dir=study", "loss.adversarial=100")
    found = yaml.safe_load((user.folder / "study" / "optimization_results.yaml").read_text())
    values = [json.loads(path.read_text())["val/code_error"] for path in user.folder.glob("study/*/metrics.json")]
    assert len(values) == 2
    assert found["best_value"] == min(values)
    assert set(found["best_params"]) == {"loss.image", "loss.feature", "optimizer.lr"}


def test_the_random_search_ranks_settings_and_shows_best_and_worst(trained):
    user, prior, _ = trained
    settings = [f"prior={prior}", "units=fc8:0-2", "seeds=1", "reference_images=32", "judge=none"]
    settings += ["comparison.judge=none", "comparison.reference_images=32", "hydra.sweep.dir=search"]
    space = ["hydra.sweeper.samples=2", "steps=int(interval(1,3))"]
    user.run("visualize.py", "experiment=random_search", *settings, *space)
    rows = list(csv.DictReader((user.folder / "search" / "comparison" / "comparison.csv").open()))
    assert [float(row["rank"]) for row in rows] == sorted(float(row["rank"]) for row in rows)
    assert [float(row["frechet_distance"]) for row in rows] == sorted(float(row["frechet_distance"]) for row in rows)
    used = [yaml.safe_load((user.folder / "search" / str(i) / ".hydra" / "config.yaml").read_text()) for i in range(2)]
    assert len({config["method"]["update"]["first"] for config in used}) == 2
    assert all(1 <= config["steps"] <= 3 for config in used)
    assert all(0.9 <= config["method"]["regularizers"]["l2"]["factor"] <= 0.999 for config in used)
    assert (user.folder / "search" / "comparison" / "comparison.png").is_file()


@pytest.mark.slow
def test_a_job_runs_under_submitit_in_a_process_of_its_own(user):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    settings = [*user.tiny, "trainer.max_steps=2", "comparison.enabled=false"]
    user.run("train.py", "-m", *settings, "hydra/launcher=submitit_local", "hydra.sweep.dir=local")
    assert (user.folder / "local" / "0" / "prior.safetensors").is_file()
    assert list(user.folder.glob("local/.submitit/*/*_log.out"))


@pytest.mark.slow
def test_a_run_started_by_torchrun_is_one_run(user):
    """Whichever process is first: here that of rank 0, which writes, is seconds behind the other."""
    (user.folder / "late").mkdir()
    (user.folder / "late" / "sitecustomize.py").write_text(_LATE)
    user.environment["PYTHONPATH"] = str(user.folder / "late")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = os.path.join(os.path.dirname(__file__), "..", "..", "train.py")
    done = subprocess.run(
        [*command, script, *user.tiny, "trainer=ddp_cpu", "trainer.max_steps=2"],
        cwd=user.folder,
        env=user.environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    (run,) = (user.folder / "outputs" / "train").iterdir()
    assert (run / "prior.safetensors").is_file()
    assert done.stdout.count("prior.safetensors") == 1
