"""Where metrics go: the same ones, under the same names, in every logger, read back from what each has written."""

import csv
import json
import logging
import time

import psutil
import pytest
import wandb
import yaml
from pytorch_lightning.loggers import WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.e2e
NAMES = {f"train/loss_{name}" for name in ("image", "feature", "adversarial", "discriminator")} | {
    "train/images_per_second",
    "train/psnr",
    "train/feature_distance",
    "train/lr",
    "weights/image",
    "weights/feature",
    "weights/adversarial",
    "val/psnr",
    "val/feature_distance",
    "val/code_error",
}


@pytest.fixture(scope="module")
def logged(tmp_path_factory, new_user):
    """A user whose run went through three loggers at once, nobody being logged in anywhere."""
    user = new_user(tmp_path_factory.mktemp("logged"))
    user.environment["HOME"] = str(user.folder)
    user.environment.pop("WANDB_API_KEY", None)
    said, _ = user.run(
        "train.py",
        *user.tiny,
        "trainer.max_steps=8",
        "trainer.val_check_interval=4",
        "logger=[csv,wandb,tensorboard]",
        "logger.wandb.project=layers",
        "logger.wandb.tags=[tiny,test]",
        "logger.wandb.notes=what comes of it",
        "hydra.run.dir=run",
    )
    return user, user.folder / "run", said


def rows_of(run):
    return list(csv.DictReader((run / "metrics.csv").open()))


def test_every_logger_has_the_same_metrics(logged, wandb_runs):
    _, run, _ = logged
    rows = rows_of(run)
    (tracked,) = wandb_runs(run)
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert set(rows[0]) >= NAMES
    for name in NAMES:
        written = [float(row[name]) for row in rows if row[name]]
        assert len(written) == (2 if name.startswith("val/") else 4)
        assert tracked.values(name) == pytest.approx(written, rel=1e-6)
        assert [event.value for event in board.Scalars(name)] == pytest.approx(written, rel=1e-6)
    steps = [row["trainer/global_step"] for row in tracked.rows if "val/psnr" in row]
    assert steps == [int(row["step"]) for row in rows if row["val/psnr"]]
    assert steps == [3, 7]


def test_metrics_json_has_the_last_ones(logged):
    _, run, _ = logged
    last = rows_of(run)[-1]
    found = json.loads((run / "metrics.json").read_text())
    assert all(found[name] == pytest.approx(float(last[name])) for name in NAMES if name.startswith("val/"))


def test_wandb_has_the_project_the_tags_and_the_whole_config(logged, wandb_runs):
    _, run, _ = logged
    (tracked,) = wandb_runs(run)
    assert (tracked.run.project, tracked.run.job_type) == ("layers", "train")
    assert list(tracked.run.tags) == ["tiny", "test"]
    assert tracked.run.notes == "what comes of it"
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert {key: tracked.config[key] for key in saved} == saved
    assert tracked.exit_code == 0


def test_wandb_has_the_reconstructions_with_captions(logged, wandb_runs):
    _, run, _ = logged
    (tracked,) = wandb_runs(run)
    grids = tracked.values("val/reconstructions")
    assert [grid["captions"] for grid in grids] == [[f"real over reconstructed, step {step}"] for step in (4, 8)]
    for grid, step in zip(grids, (4, 8), strict=True):
        (name,) = grid["filenames"]
        media = (tracked.folder / "files" / name).read_bytes()
        assert media[:8] == b"\x89PNG\r\n\x1a\n"
        assert (run / "reconstructions" / f"step_{step:06d}.png").is_file()
    assert EventAccumulator(str(run / "tensorboard")).Reload().Tags()["images"] == ["val/reconstructions"]


def test_wandb_has_the_prior_with_what_it_says_of_itself(logged, wandb_runs):
    _, run, _ = logged
    (tracked,) = wandb_runs(run)
    (artifact,) = tracked.artifacts
    assert (artifact.name, artifact.type) == ("mini_caffenet-fc6", "prior")
    (entry,) = artifact.manifest.contents
    assert entry.path == "prior.safetensors"
    assert entry.size == (run / "prior.safetensors").stat().st_size
    about = json.loads(artifact.metadata)
    assert about["layer"] == "fc6"
    assert about["metrics"]["val/psnr"] == json.loads((run / "metrics.json").read_text())["val/psnr"]


def test_offline_mode_is_reported_in_one_line_with_how_to_upload(logged, wandb_runs):
    _, run, said = logged
    (line,) = [line for line in said.splitlines() if "offline" in line]
    assert line.endswith(f"wandb sync {wandb_runs(run)[0].folder}")


def test_a_resumed_run_is_one_run_in_every_logger(logged, wandb_runs):
    user, run, _ = logged
    before = rows_of(run)
    user.run("train.py", f"resume={run}", "trainer.max_steps=12")
    rows = rows_of(run)
    assert rows[: len(before)] == before
    assert [int(row["step"]) for row in rows if row["train/loss_image"]] == [1, 3, 5, 7, 9, 11]
    assert len({tracked.run.run_id for tracked in wandb_runs(run)}) == 1


@pytest.mark.slow
def test_an_unreachable_service_neither_blocks_nor_fails(user, wandb_runs, monkeypatch):
    """Logged in, but nobody answers: the run is kept offline, and says so."""
    monkeypatch.setattr("dgn.runs.wandb.PATIENCE", 3.0)
    user.environment |= {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    wandb.teardown()
    began = time.monotonic()
    said, _ = user.run("train.py", *user.tiny, "trainer.max_steps=2", "logger=wandb", "hydra.run.dir=run")
    wandb.teardown()  # forgets the key
    assert said.strip().endswith("prior.safetensors")
    assert time.monotonic() - began < 60
    assert "wandb sync" in said
    assert len(wandb_runs(user.folder)[-1].values("val/psnr")) == 1


@pytest.mark.slow
def test_a_run_resumed_without_the_service_is_still_one_run(logged, wandb_runs, monkeypatch):
    user, run, _ = logged
    monkeypatch.setattr("dgn.runs.wandb.PATIENCE", 3.0)
    monkeypatch.setitem(user.environment, "WANDB_API_KEY", "0" * 40)
    monkeypatch.setitem(user.environment, "WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    user.run("train.py", f"resume={run}", "trainer.max_steps=14")
    wandb.teardown()
    kept = [tracked for tracked in wandb_runs(run) if tracked.folder.name.startswith("offline")]
    assert len(kept) == 3
    assert len({tracked.run.run_id for tracked in kept}) == 1


@pytest.mark.parametrize("how", ["the service process dies", "the folder cannot be written"])
def test_a_training_survives_whatever_happens_to_wandb(user, monkeypatch, caplog, how):
    if how == "the folder cannot be written":
        (user.folder / "run").mkdir()
        (user.folder / "run" / "wandb").write_text("a file where a folder should be")
    else:
        noted = WandbLogger.log_metrics

        def dies(self, metrics, step=None):
            if step == 3:
                for process in psutil.Process().children(recursive=True):
                    if "wandb" in process.name():
                        process.kill()
            noted(self, metrics, step)

        monkeypatch.setattr(WandbLogger, "log_metrics", dies)
    user.environment["WANDB_MODE"] = "offline"
    settings = ["trainer.max_steps=8", "logger=[csv,wandb]", "hydra.run.dir=run"]
    said, err = user.run("train.py", *user.tiny, *settings)
    assert wandb.run is None  # nothing is left for the next job of this process to be taken for
    assert said.strip().endswith("prior.safetensors")
    assert said.count("continues without") == 1
    assert "Traceback" not in err
    caplog.clear()
    print("what is printed after the loss does not reach W&B")
    time.sleep(0.5)  # its thread would log an error
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [int(row["step"]) for row in rows_of(user.folder / "run") if row["train/loss_image"]] == [1, 3, 5, 7]


def test_visualize_logs_a_row_for_each_preferred_image(logged, wandb_runs):
    user, run, _ = logged
    settings = ["units=fc8:0-2", "seeds=2", "steps=2", "reference_images=32", "judge=none", "logger=wandb"]
    user.run("visualize.py", f"prior={run}", *settings, "hydra.run.dir=shown")
    (tracked,) = wandb_runs(user.folder / "shown")
    (table,) = tracked.values("preferred")
    stored = json.loads((tracked.folder / "files" / table["path"]).read_text())
    wanted = list(csv.DictReader((user.folder / "shown" / "results.csv").open()))
    assert len(stored["data"]) == len(wanted) == 6
    at = {name: i for i, name in enumerate(stored["columns"])}
    assert {"image", "unit", "label", "method", "prior", "activation", "percentile"} <= set(at)
    for row, expected in zip(stored["data"], wanted, strict=True):
        assert row[at["label"]] == expected["label"]
        assert row[at["activation"]] == pytest.approx(float(expected["activation"]))
    # The table's pictures are in the artifact that W&B makes of it.
    (artifact,) = [artifact for artifact in tracked.artifacts if artifact.type == "run_table"]
    pictures = [entry for entry in artifact.manifest.contents if entry.path.endswith(".png")]
    written = sorted(path.stat().st_size for path in (user.folder / "shown" / "images").iterdir())
    assert len(pictures) == 6
    assert sorted(entry.size for entry in pictures) == written
    assert tracked.run.job_type == "visualize"


def test_no_logger_leaves_no_metrics_file(user):
    user.run("train.py", *user.tiny, "trainer.max_steps=2", "logger=none", "hydra.run.dir=run")
    assert not (user.folder / "run" / "metrics.csv").exists()
    assert (user.folder / "run" / "metrics.json").exists()
