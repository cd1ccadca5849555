"""Decoders of others and generators of one's own, from the command line to a gallery of another network's units."""

import json
import sys
from pathlib import Path

import pytest
import torch

from dgn.errors import Unavailable
from dgn.prior import Prior
from dgn.prior.card import write_card
from dgn.prior.published import main

sys.path.insert(0, str(Path(__file__).parents[1] / "prior"))
import tiny_autoencoders

pytestmark = pytest.mark.e2e
CODE = """
import math
from torch import nn
from shapes import SIDE  # a module of one's own, in the same folder

def make(code_shape, image_size, width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(code_shape), 8 * SIDE**2), nn.Unflatten(1, (8, SIDE, SIDE)),
        nn.BatchNorm2d(8), nn.ReLU(), nn.Upsample((image_size, image_size)), nn.Conv2d(8, 3, 3, padding=1),
        nn.Sigmoid(),
    )

def noise(code_shape):
    return make(code_shape, 32, 1)
"""
SEARCH = (
    *("target=mini_resnet", "target.weights=null", "target.classes=5", "units=[fc:3,layer2:1]"),
    *("seeds=1", "steps=2", "judge=none", "hydra.run.dir=seen"),
)


@pytest.fixture(scope="module")
def painter(new_user, tmp_path_factory):
    """A user with a generator of their own, which has been trained for three steps."""
    user = new_user(tmp_path_factory.mktemp("painter"))
    (user.folder / "mine.py").write_text(CODE)
    (user.folder / "shapes.py").write_text("SIDE = 4\n")
    arguments = ("generator=custom", "generator.model=mine.py:make", "trainer.max_steps=3", "hydra.run.dir=first")
    user.run("train.py", *user.tiny, *arguments)
    return user


@pytest.mark.slow
def test_a_generator_of_ones_own_is_trained_shown_and_resumed(painter):
    named = f"{painter.folder}/mine.py:make"
    first = painter.folder / "first"
    prior = Prior.load(first / "prior.safetensors", code=[named])
    codes = prior.sample(2)
    checkpoint = Prior.from_checkpoint(first / "checkpoints" / "last.ckpt", code=[named])
    torch.testing.assert_close(checkpoint.decode(codes), prior.decode(codes), rtol=0, atol=1e-5)
    out, _ = painter.run("visualize.py", "prior=first", "generator.model=mine.py:make", *SEARCH)
    assert out.strip().endswith("seen/index.html")
    painter.run("train.py", "resume=first", "trainer.max_steps=4")
    assert json.loads((first / "metrics.json").read_text())["steps"] == 4


def test_its_file_runs_no_code_by_itself_and_asks_for_it(painter):
    path = painter.folder / "first" / "prior.safetensors"
    with pytest.raises(Unavailable, match="which no file runs by itself"):
        Prior.load(path)
    _, err = painter.run("visualize.py", f"prior={path}", *SEARCH, status=2)
    assert f"name it: generator.model={painter.folder}/mine.py:make" in err
    assert len(err.strip().splitlines()) == 1


def test_its_card_names_the_code_that_the_file_lacks(painter, tmp_path):
    path = painter.folder / "first" / "prior.safetensors"
    write_card(path, tmp_path, "ada/mine", [f"{painter.folder}/mine.py:make"])
    card = (tmp_path / "README.md").read_text()
    assert "the code of its generator, `mine.py:make`, is not in the file" in card
    assert 'Prior.load("hf:ada/mine", code=["mine.py:make"])' in card
    assert str(painter.folder) not in card.split("All settings:")[0].split("## How it was made")[0]


def test_priors_with_code_of_ones_own_are_compared(painter):
    arguments = ("first", "generator.model=mine.py:make", "units=fc8:3", "steps=2", "judge=none", "reference_images=0")
    out, _ = painter.run("compare.py", *arguments, "hydra.run.dir=compared")
    assert out.strip().splitlines()[-1].endswith("index.html")


@pytest.mark.parametrize("kind", ["rae", "autoencoder", "generator"])
def test_an_imported_decoder_shows_units_of_another_network(user, monkeypatch, capsys, kind):
    monkeypatch.chdir(user.folder)
    further = []
    if kind == "generator":
        Path("mine.py").write_text(CODE)
        Path("shapes.py").write_text("SIDE = 4\n")
        main(["generator", "mine.py:noise", "--code", "normal", "--size", "8", "--out", "prior.safetensors"])
        further = ["generator.model=mine.py:noise", "start=sample"]
    else:
        pytest.importorskip("diffusers", reason="needs the extra rae: pip install 'dgn[rae]'")
        pytest.importorskip("transformers", reason="needs the extra rae: pip install 'dgn[rae]'")
        name = "AutoencoderRAE" if kind == "rae" else "AutoencoderKL"
        main([kind, str(tiny_autoencoders.save(name, Path("release"))), "--out", "prior.safetensors"])
    assert capsys.readouterr().out.splitlines()[-1] == "prior.safetensors"
    user.run("visualize.py", "prior=prior.safetensors", *further, *SEARCH)
    rows = json.loads(Path("seen/results.json").read_text())["results"]
    assert {row["objective"] for row in rows} == {"fc:3", "layer2:1@4,4"}


def test_codes_of_a_rae_are_measured_and_searched_along_their_axes_near_real_images(user, monkeypatch):
    pytest.importorskip("diffusers", reason="needs the extra rae: pip install 'dgn[rae]'")
    pytest.importorskip("transformers", reason="needs the extra rae: pip install 'dgn[rae]'")
    monkeypatch.chdir(user.folder)
    main(["rae", str(tiny_autoencoders.save("AutoencoderRAE", Path("release"))), "--out", "prior.safetensors"])
    data = ("data=doodles", "data.image_size=32", "data.train_images=64", "data.val_images=64")
    measuring = ("statistics.images=32", "trainer.accelerator=cpu", "hydra.run.dir=measured")
    user.run("train.py", "task=statistics", "prior=prior.safetensors", *data, *measuring)
    along = ("method=dgn_am_ellipsoid", "method.parametrization.subspace=5", "start=real", "reference_images=32")
    user.run("visualize.py", "prior=measured", *SEARCH, *along, "nearest_images=4")  # the prior names the images now
    rows = json.loads(Path("seen/results.json").read_text())["results"]
    assert {row["start"] for row in rows} == {"real"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rae", "absent"], "error: absent: no such folder"),
        (["autoencoder", "absent", "--size", "64"], "error: absent: no such folder"),
        (["generator", "absent.py:make", "--size", "8"], "absent.py (working folder:"),
        (["generator", "absent.py:make", "--size", "8x"], "error: --size 8x: give the number of units"),
        (["generator", "absent.py:make", "--size", "8", "--args", "{a"], "error: --args {a"),
        (["generator", "absent.py:make", "--size", "8", "--args", "[1]"], "give names and values"),
    ],
)
def test_an_import_that_cannot_be_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
