"""Multiruns: numbered folders, a comparison at the end, failures that lose nothing, and going on."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

import dgn.cli.compare

pytestmark = pytest.mark.e2e
QUICK = ("comparison.judge=none", "comparison.steps=2", "comparison.reference_images=32", "comparison.units=fc8:0-3")
SWEEP = ("encoder.layer=fc6,nosuch,fc8", "trainer.max_steps=3")


@pytest.fixture(scope="module")
def swept(tmp_path_factory, new_user):
    """A user whose multirun over three layers met one that there is not, tracked in W&B."""
    user = new_user(tmp_path_factory.mktemp("swept"))
    said, err = user.run("train.py", "-m", *user.tiny, *QUICK, *SWEEP, "logger=[csv,wandb]", status=1)
    (folder,) = user.folder.glob("outputs/multirun/*")
    return user, folder, said, err


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "comparison.csv").open()))


def test_jobs_are_in_numbered_folders_and_the_comparison_is_beside_them(swept):
    user, folder, said, _ = swept
    assert {f.name for f in folder.iterdir() if f.is_dir()} == {"0", "1", "2", "comparison"}
    assert (folder / "0" / "prior.safetensors").is_file()
    assert said.strip().splitlines()[-1] == str((folder / "comparison" / "index.html").relative_to(user.folder))


def test_a_failed_job_does_not_lose_the_others(swept):
    _, folder, _, err = swept
    rows = table(folder / "comparison")
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert "no layer 'nosuch'" in rows[1]["error"]
    assert "no layer 'nosuch'" in (folder / "comparison" / "index.html").read_text().replace("&#39;", "'")
    assert "1 of the jobs failed" in err
    assert "Traceback" not in err


def test_the_comparison_has_each_runs_numbers(swept):
    _, folder, _, _ = swept
    for row in table(folder / "comparison"):
        if row["status"] == "finished":
            metrics = json.loads((folder / row["folder"].removeprefix("../") / "metrics.json").read_text())
            assert float(row["val/psnr"]) == metrics["val/psnr"]
            assert float(row["seconds"]) == metrics["total_seconds"]
            assert int(row["parameters"]) == metrics["generator_parameters"]
            assert float(row["frechet_distance"]) > 0
            assert row["encoder.layer"] in ("fc6", "fc8")


def test_the_figure_has_a_row_a_unit_and_a_column_a_prior(swept):
    _, folder, _, _ = swept
    width, height = Image.open(folder / "comparison" / "comparison.png").size
    assert 4 * 192 < height < 5 * 192
    assert 2 * 96 < width < 5 * 128


def test_every_job_is_one_run_of_wandb_and_so_is_the_comparison(swept, wandb_runs):
    _, folder, _, _ = swept
    for job in ("0", "2"):
        (tracked,) = wandb_runs(folder / job)
        assert tracked.run.run_group == folder.name
        assert tracked.config["encoder"]["layer"] == {"0": "fc6", "2": "fc8"}[job]
        assert len(tracked.values("val/psnr")) == 1
        assert len(tracked.artifacts) == 1
    assert len({run.run.run_id for run in wandb_runs(folder)}) == 3
    (summary,) = wandb_runs(folder / "comparison")
    assert (summary.run.job_type, summary.run.run_group) == ("comparison", folder.name)
    (stored,) = summary.values("comparison/table")
    content = json.loads((summary.folder / "files" / stored["path"]).read_text())
    assert [row[1] for row in content["data"]] == ["finished", "failed", "finished"]
    (figure,) = summary.values("comparison/figure")
    assert (summary.folder / "files" / figure["filenames"][0]).is_file()


def test_the_same_multirun_with_resume_auto_finishes_only_what_is_missing(swept):
    user, folder, _, _ = swept
    before = (folder / "0" / "prior.safetensors").stat().st_mtime_ns
    (folder / "2" / "metrics.json").unlink()  # as if it had been killed, when fewer steps were asked for
    config = folder / "2" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 3", "max_steps: 2"))
    said, _ = user.run("train.py", "-m", *user.tiny, *QUICK, *SWEEP, "logger=[csv,wandb]", "resume=auto", status=1)
    assert list(user.folder.glob("outputs/multirun/*")) == [folder]
    assert (folder / "0" / "prior.safetensors").stat().st_mtime_ns == before
    assert said.count("nothing is left to do") == 1
    assert (folder / "2" / "metrics.json").is_file()
    assert yaml.safe_load(config.read_text())["trainer"]["max_steps"] == 3
    assert [row["status"] for row in table(folder / "comparison")] == ["finished", "failed", "finished"]


def test_a_folder_with_another_run_is_not_resumed(swept):
    user, folder, _, _ = swept
    settings = [*user.tiny, "encoder.layer=fc7", "trainer.max_steps=3", f"hydra.run.dir={folder / '0'}"]
    _, err = user.run("train.py", *settings, status=2)
    assert "encoder.layer" in err


def test_a_multirun_with_other_settings_leaves_the_folder_of_a_finished_one_as_it_is(swept):
    user, folder, _, _ = swept
    page = (folder / "comparison" / "index.html").stat().st_mtime_ns
    other = ["encoder.layer=fc7,fc8", "trainer.max_steps=3", f"hydra.sweep.dir={folder}"]
    _, err = user.run("train.py", "-m", *user.tiny, *QUICK, *other, status=2)
    assert "encoder.layer" in err
    assert not (folder / "0" / "failed.json").exists()
    assert (folder / "comparison" / "index.html").stat().st_mtime_ns == page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["comparison.judge=nojudge"], "nojudge"),
        (["comparison.seeds=two"], "seeds=two"),
        (["comparison.reference_images=-5"], "reference_images=-5"),
        (["comparison.enabled=maybe"], "comparison.enabled=maybe"),
        (["resume=outo"], "resume=outo"),
        (["hydra/launcher=joblb"], "did you mean joblib"),
        (["logger=wandb", "logger.wandb.mode=onlin"], "logger.wandb.mode=onlin"),
        (["logger=wandb", "'logger.wandb.project=\"a/b\"'"], "a/b"),
    ],
)
def test_user_errors_are_reported_before_the_first_job(user, arguments, says):
    arguments = [argument.strip("'") for argument in arguments]
    said, err = user.run("train.py", "-m", *user.tiny, "encoder.layer=fc6,fc8", *arguments, status=None)
    assert says in err.strip().splitlines()[-1] or says in said
    assert "Traceback" not in err
    assert "Training a prior" not in said


def test_any_runs_can_be_compared(swept):
    user, folder, _, _ = swept
    arguments = ["judge=none", "steps=2", "reference_images=0", "units=fc8:1", "seeds=2", "hydra.run.dir=compared"]
    said, _ = user.run("compare.py", str(folder / "2"), str(folder / "0"), *arguments)
    assert said.strip().splitlines()[-1].endswith("compared/index.html")
    rows = table(user.folder / "compared")
    assert [row["encoder.layer"] for row in rows] == ["fc8", "fc6"]
    assert "frechet_distance" not in rows[0]
    _, err = user.run("compare.py", "nowhere", status=2)
    assert len(err.strip().splitlines()) == 1
    assert "nowhere" in err


def test_settings_of_the_command_line_also_apply_to_a_comparison_that_starts_from_a_photo(swept, monkeypatch, tmp_path):
    user, folder, _, _ = swept
    Image.linear_gradient("L").resize((70, 70)).save(tmp_path / "photo.png")
    methods = []
    read = dgn.cli.compare.read_method
    monkeypatch.setattr("dgn.cli.compare.read_method", lambda *a: methods.append(read(*a)) or methods[-1])
    quick = ["judge=none", "reference_images=0", "units=fc8:1", "steps=1", f"start={tmp_path / 'photo.png'}"]
    for given in ([], ["method.update.first=3"]):
        user.run("compare.py", str(folder / "0"), *quick, *given)
    used = [method.starting("photo.png") for method in methods]
    assert [method.settings["update"]["first"] for method in used] == [1, 3]  # 1: of a search from a real image


def test_prior_files_are_compared_by_their_own_metadata(swept):
    user, folder, _, _ = swept
    for name in ("0", "2"):
        (user.folder / "alone" / name).mkdir(parents=True)
        shutil.copy(folder / name / "prior.safetensors", user.folder / "alone" / name)
    files = [f"alone/{name}/prior.safetensors" for name in ("0", "2")]
    arguments = ["judge=none", "steps=1", "reference_images=0", "units=fc8:1", "hydra.run.dir=compared3"]
    user.run("compare.py", *files, *arguments)
    rows, wanted = table(user.folder / "compared3"), table(folder / "comparison")
    assert [row["run"] for row in rows] == ["layer=fc6", "layer=fc8"]
    assert [row["val/psnr"] for row in rows] == [wanted[0]["val/psnr"], wanted[2]["val/psnr"]]


def test_shared_priors_are_compared_by_their_names(swept, monkeypatch):
    """What is fetched is a file each; that it is, is the business of tests/prior/test_sharing.py."""
    user, folder, _, _ = swept
    for name in ("one", "two"):
        (user.folder / "fetched" / name).mkdir(parents=True)
        shutil.copy(folder / "0" / "prior.safetensors", user.folder / "fetched" / name)

    def fetch(where):
        return user.folder / "fetched" / where.split("/")[1].partition("@")[0] / "prior.safetensors"

    monkeypatch.setattr("dgn.prior.generator_prior.fetch", fetch)
    monkeypatch.setattr("dgn.cli.run_folders.fetch", fetch)
    arguments = ["judge=none", "steps=1", "reference_images=0", "units=fc8:1", "hydra.run.dir=compared4"]
    user.run("compare.py", "hf:ada/one", "hf:ada/two@v2", *arguments)
    rows = table(user.folder / "compared4")
    assert [row["run"] for row in rows] == ["hf:ada/one", "hf:ada/two@v2"]
    assert rows[0]["val/psnr"] == rows[1]["val/psnr"] != ""


def test_a_prior_that_cannot_be_read_does_not_lose_the_comparison_of_the_others(swept):
    user, folder, _, _ = swept
    shutil.copytree(folder / "2", user.folder / "broken", ignore=shutil.ignore_patterns("wandb"))
    (user.folder / "broken" / "prior.safetensors").write_bytes(b"none")
    arguments = ["judge=none", "steps=1", "reference_images=0", "units=fc8:1", "hydra.run.dir=compared2"]
    user.run("compare.py", str(folder / "0"), "broken", *arguments)
    rows = table(user.folder / "compared2")
    assert [row["error"] != "" for row in rows] == [False, True]
    assert rows[1]["val/psnr"]
    assert "broken/prior.safetensors" in rows[1]["error"]


def test_an_unknown_metric_is_reported_with_the_available_ones(user):
    _, err = user.run("train.py", *user.tiny, "trainer.max_steps=1", "metric=val/psnrr", status=2)
    assert "val/psnr," in err
