"""debug=...: short runs that check a setup, in a folder of their own."""

import csv

import pytest

pytestmark = pytest.mark.e2e

ENCODER = ["task=encoder", "encoder=mini_resnet", "encoder.width=8", "data.train_images=96", "data.val_images=32"]
ENCODER += ["data.batch_size=8", "trainer.accelerator=cpu", "trainer.precision=32-true", "data.image_size=32"]


def debugged(user, *arguments: str):
    """Returns the folder of a debug run."""
    user.run("train.py", *arguments)
    assert [path.name for path in (user.folder / "outputs").iterdir()] == ["debug"]
    (folder,) = (user.folder / "outputs" / "debug").iterdir()
    return folder


@pytest.mark.parametrize("task", ["prior", "encoder"])
def test_a_fast_run_does_everything_once(user, task):
    settings = user.tiny if task == "prior" else ENCODER
    folder = debugged(user, *settings, "debug=fast_dev_run")
    result = "prior.safetensors" if task == "prior" else "encoder.safetensors"
    assert {result, "metrics.json", "config.yaml"} <= {path.name for path in folder.iterdir()}
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    _, err = user.run("visualize.py", status=2)
    assert "no prior under outputs/" in err  # what a debug run made is not the newest prior


def test_an_unfinished_debug_run_is_not_what_resume_auto_takes(user):
    settings = [*ENCODER, "schedule.warmup=0"]
    folder = debugged(user, *settings, "debug=fast_dev_run")
    (folder / "metrics.json").unlink()  # as if it had been stopped after its checkpoint
    before = (folder / "config.yaml").read_bytes()
    out, _ = user.run("train.py", *settings, "trainer.max_steps=2", "resume=auto")
    (started,) = (user.folder / "outputs" / "train").iterdir()
    assert str(started / "encoder.safetensors").endswith(out.splitlines()[-1].removeprefix("./"))
    assert (folder / "config.yaml").read_bytes() == before
    assert not (folder / "metrics.json").exists()
    out, _ = user.run("train.py", f"resume={folder}")  # it is resumed by its name
    assert (folder / "metrics.json").is_file()


def test_the_losses_of_a_few_images_fall(user):
    overfit = ["debug=overfit", "overfit=8", "trainer.max_steps=60", "trainer.log_every_n_steps=5"]
    folder = debugged(user, *ENCODER, *overfit, "schedule.warmup=0.05", "optimizer.lr=1e-2")
    with (folder / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert losses[-1] < 0.2 * losses[0]


def test_a_profile_is_a_table_in_the_runs_folder(user):
    folder = debugged(user, *user.tiny, "debug=profile", "trainer.max_steps=3")
    tables = [path.read_text() for path in folder.glob("*profile*")]
    assert any("Total time" in table or "training_step" in table for table in tables)


@pytest.mark.parametrize("value", ["0", "many", "1.5"])
def test_a_wrong_number_of_images_is_one_line(user, value):
    _, err = user.run("train.py", *user.tiny, f"overfit={value}", status=2)
    assert f"overfit={value}: give a number of training images" in err
