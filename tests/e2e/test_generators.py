"""Kinds of generators and warm starts, as a user runs them."""

import json

import pytest
import torch

from dgn.prior import Prior

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def modulated(new_user, tmp_path_factory):
    """A user with a prior of generator=modulated, after three steps."""
    user = new_user(tmp_path_factory.mktemp("modulated"))
    arguments = ("generator=modulated", "generator.noise=true", "trainer.max_steps=3", "hydra.run.dir=first")
    user.run("train.py", *user.tiny, *arguments)
    return user


def test_a_modulated_prior_is_trained_and_visualized(modulated):
    prior = Prior.load(modulated.folder / "first" / "prior.safetensors")
    assert prior.generator.kind == "modulated"
    arguments = ("prior=first", "units=fc8:3", "seeds=1", "method=dgn_am_short", "judge=none", "hydra.run.dir=seen")
    out, _ = modulated.run("visualize.py", *arguments)
    assert out.strip().endswith("seen/index.html")
    checkpoint = Prior.from_checkpoint(modulated.folder / "first" / "checkpoints" / "last.ckpt")
    codes = prior.sample(2)
    torch.testing.assert_close(checkpoint.decode(codes), prior.decode(codes), rtol=0, atol=1e-5)


def test_a_warm_start_begins_with_the_weights_that_fit(modulated):
    """Another layer and image size: with a learning rate of 0, the weights of the prior are those of the start."""
    first = Prior.load(modulated.folder / "first" / "prior.safetensors").generator.state_dict()
    arguments = ["generator=modulated", "generator.noise=true", "generator.init=first", "optimizer.lr=0"]
    arguments += ["trainer.max_steps=2", "encoder.layer=fc8", "data.image_size=32", "hydra.run.dir=second"]
    out, _ = modulated.run("train.py", *modulated.tiny, *arguments)
    (line,) = [line for line in out.splitlines() if "Starting from" in line]
    assert "not taken: embedding.0 (" in line
    second = Prior.load(modulated.folder / "second" / "prior.safetensors").generator.state_dict()
    for name in ("embedding.2.weight", "start.0.weight", "blocks.8.doubling.weight", "blocks.32.skip.weight"):
        assert torch.equal(second[name], first[name])
    assert not torch.equal(second["code_mean"], first["code_mean"][: len(second["code_mean"])])
    modulated.run("train.py", "resume=second", "trainer.max_steps=3")
    assert json.loads((modulated.folder / "second" / "metrics.json").read_text())["steps"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generator.init=missing"], "generator.init="),
        (["generator=upconv", "generator.init=first"], "none of its weights fit this generator"),
    ],
)
def test_a_warm_start_that_cannot_be_is_one_line(modulated, arguments, message):
    settings = [*modulated.tiny, "generator=modulated", "trainer.max_steps=2", *arguments]
    _, err = modulated.run("train.py", *settings, status=None)
    assert message in err
    assert len(err.strip().splitlines()) == 1
