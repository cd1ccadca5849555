import csv
import json

import pytest
import torch
from PIL import Image

from dgn.prior import Prior
from dgn.prior.code_prior import CodePrior

pytestmark = pytest.mark.e2e
QUICK = ["steps=2", "reference_images=24", "judge=none", "seeds=1"]
OWN = ["target=mini_caffenet", "target.weights=null", "target.classes=5"]


def visualized(user, *arguments):
    out, _ = user.run("visualize.py", *QUICK, *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    return folder, list(csv.DictReader((folder / "results.csv").open()))


def test_methods_on_pixels_need_no_prior(user):
    folder, rows = visualized(user, "method=pixels", *OWN, "canvas_size=40")
    assert len(rows) == 5
    assert Image.open(folder / rows[0]["image"]).size == (40, 40)
    assert rows[0]["percentile"] == ""
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert settings["prior"] is None
    small = ["data=doodles", "data.train_images=32", "data.val_images=8", "data.cache=false"]
    _, rows = visualized(user, "method=maco2023", *OWN, *small, "units=fc8:0")
    assert 0 <= float(rows[0]["percentile"]) <= 100


def test_a_missing_requirement_of_a_method_is_reported_in_one_line(user):
    for method, says in (("dgn_am", "train.py`"), ("maco2023", "data=image_folder")):
        _, err = user.run("visualize.py", *QUICK, f"method={method}", *OWN, status=2)
        assert says in err
        assert len(err.strip().splitlines()) == 1


def test_hand_designed_methods_beside_a_prior(trained, tmp_path):
    user, _, _ = trained
    Image.linear_gradient("L").resize((90, 70)).save(tmp_path / "photo 1.png")
    _, rows = visualized(user, "method=olah2017", "units=fc8:house,dream(conv3)")
    assert [row["objective"] for row in rows] == ["fc8:0", "dream(conv3)"]
    assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
    _, rows = visualized(user, "method=mfv2016", "units=[softmax(fc8:house),fc8:0*fc8:1]", "steps=5")
    assert [row["label"] for row in rows] == ["house (softmax)", "house * tree"]
    _, rows = visualized(user, "method=mahendran2015", f"units=match(fc6,'{tmp_path / 'photo 1.png'}')", "steps=20")
    assert -1 <= float(rows[0]["activation"]) < 0
    _, rows = visualized(user, "method=yosinski2015_3", f"start={tmp_path / 'photo 1.png'}", "units=fc8:1")
    assert rows[0]["method"] == "yosinski2015_3"


def test_diversity_is_an_option(trained):
    user, _, _ = trained
    plain, apart = (
        visualized(user, "units=fc8:0", "seeds=3", f"diversity={weight}", "steps=4")[1] for weight in (0, 1000)
    )
    assert [row["activation"] for row in plain] != [row["activation"] for row in apart]


def test_a_code_prior_is_trained_and_used(trained):
    user, path, _ = trained
    tiny = ["code_prior.images=64", "code_prior.width=0.1", "trainer.max_steps=6", "trainer.accelerator=cpu"]
    tiny += ["trainer.val_check_interval=3", "logger=none"]
    out, _ = user.run("train.py", "task=code_prior", *tiny)
    where = user.folder / out.strip().splitlines()[-1]
    found, prior = CodePrior.load(where), Prior.load(user.folder / path)
    assert found.fits(prior)
    metrics = json.loads((where.parent / "metrics.json").read_text())
    assert metrics["steps"] == 6
    codes = prior.sample(2)
    assert found.denoise(codes).shape == codes.shape
    assert found.denoise(codes).min() >= 0
    _, rows = visualized(user, "method=ppgn2017_dae", "units=fc8:0")  # finds it: the newest that fits
    _, named = visualized(user, "method=ppgn2017_dae", "units=fc8:0", f"code_prior={where.parent}")
    assert rows[0]["activation"] == named[0]["activation"]
    _, err = user.run("visualize.py", *QUICK, "method=ppgn2017_dae", f"code_prior={path}", status=2)
    assert "is not a code prior" in err

    # Stopped and resumed, it ends in the same weights.
    whole = found.autoencoder.state_dict()
    folder = user.folder / "outputs" / "train" / "resumed"
    half = ["trainer.max_steps=3", "schedule.max_steps=6", f"hydra.run.dir={folder}"]
    user.run("train.py", "task=code_prior", *tiny, *half)
    user.run("train.py", f"resume={folder}", "trainer.max_steps=6")
    resumed = CodePrior.load(folder / "code_prior.safetensors").autoencoder.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_code_model_is_fitted_to_a_prior_and_draws_and_guides(trained):
    user, path, _ = trained
    itself = ["method=guided", "method.without_code_model=null"]
    _, err = user.run("visualize.py", *QUICK, *itself, "units=fc8:0", f"prior={path}", status=2)
    assert "task=code_prior kind=diffusion" in err
    assert len(err.strip().splitlines()) == 1
    folder = user.folder / "modelled"  # not under outputs/, where other tests look for the newest prior
    more = ["data=doodles", "data.train_images=220", "data.val_images=16", "data.cache=none", f"hydra.run.dir={folder}"]
    user.run("train.py", "task=code_prior", "kind=diffusion", "code_model.steps=4", "code_model.width=16",
             f"prior={path}", "trainer.accelerator=cpu", *more)  # fmt: skip
    prior = Prior.load(folder / "prior.safetensors")
    assert prior.code_model.width == 16
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["code_model/frechet"] > 0
    assert prior.about["metrics"]["code_model/nearest"] == metrics["code_model/nearest"]
    assert prior.about["metrics"]["val/psnr"] == Prior.load(user.folder / path).about["metrics"]["val/psnr"]
    out, _ = user.run("visualize.py", "units=none", f"prior={folder}", "seeds=1")
    assert Image.open(user.folder / out.strip().splitlines()[-1]).size == (16 * 66 + 2, 68)
    _, rows = visualized(user, "method=guided", "units=fc8:0,conv3:1", f"prior={folder}")
    assert [row["start"] for row in rows] == ["sample", "sample"]


def test_training_fits_a_code_model_to_the_codes_that_it_has_seen(user):
    folder = user.folder / "outputs" / "longer"
    user.run("train.py", *user.tiny, "trainer.max_steps=26", f"hydra.run.dir={folder}")  # 208 codes; 200 are the least
    metrics, prior = json.loads((folder / "metrics.json").read_text()), Prior.load(folder / "prior.safetensors")
    assert metrics["code_model/frechet"] > 0
    assert prior.code_model.width == 16
    assert prior.sample(3).shape == (3, *prior.code_shape)
    none = user.folder / "outputs" / "none"
    tiny = [setting for setting in user.tiny if not setting.startswith("code_model.")]
    user.run("train.py", *tiny, "code_model=none", "trainer.max_steps=2", f"hydra.run.dir={none}")
    assert Prior.load(none / "prior.safetensors").code_model is None


def test_the_code_of_a_photo_is_approached(trained, tmp_path):
    """Inversion as an objective: the picture found has a code nearer to the photo's than where it began."""
    user, _, _ = trained
    Image.radial_gradient("L").resize((64, 64)).save(tmp_path / "photo.png")
    _, rows = visualized(user, f"units=match(fc6,{tmp_path / 'photo.png'})", "method=pixels", "steps=40")
    _, begun = visualized(user, f"units=match(fc6,{tmp_path / 'photo.png'})", "method=pixels", "steps=1")
    assert float(rows[0]["activation"]) > float(begun[0]["activation"])


def test_principal_axes_are_added_to_a_prior_without_them_and_searched(trained):
    user, path, _ = trained
    prior = Prior.load(user.folder / path)
    assert prior.principal.count == 31  # of 32 images
    measured = prior.statistics.axes
    prior.statistics.axes, prior.statistics.axes_std = None, None
    prior.save(user.folder / "without.safetensors")
    method = ["method=dgn_am_ellipsoid", "units=fc8:0"]
    _, err = user.run("visualize.py", *QUICK, *method, "prior=without.safetensors", status=2)
    assert "task=statistics prior=" in err
    assert "Traceback" not in err
    images = ["statistics.images=32", "trainer.accelerator=cpu", "hydra.run.dir=refitted"]
    out, _ = user.run("train.py", "task=statistics", "prior=without.safetensors", *images)
    refitted = out.strip().splitlines()[-1]
    again = Prior.load(user.folder / refitted)
    torch.testing.assert_close(again.statistics.axes, measured, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(again.statistics.mean, prior.statistics.mean)
    _, everywhere = visualized(user, *method, f"prior={refitted}")
    _, within = visualized(user, *method, f"prior={refitted}", "method.parametrization.subspace=3")
    assert [row[0]["start"] for row in (everywhere, within)] == ["noise", "noise"]
    assert everywhere[0]["activation"] != within[0]["activation"]
