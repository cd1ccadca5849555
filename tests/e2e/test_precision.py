"""Every task in every precision. Any CPU computes bf16-mixed: those without the instructions emulate it."""

import csv
import json

import pytest
import torch
import yaml

from dgn.prior import Prior

pytestmark = pytest.mark.e2e
LOW, FULL = "trainer.precision=bf16-mixed", "trainer.precision=32-true"
STEPS = ["trainer.max_steps=4", "trainer.val_check_interval=4"]
AUGMENTATION = ["rotation=15", "scale=0.2", "shift=0.1", "mirror=true", "blur=2", "light=0.2"]
TOKENS = """
import torch
from torch import nn

class Patches(nn.Module):
    '''Patches of 8 pixels as tokens, and a transformer's block over them.'''

    def __init__(self, classes=5):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x):
        tokens = self.block(self.embed(x).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(1))

def half(classes=5):
    return Patches(classes).half()
"""


@pytest.fixture(scope="module", params=["cpu", pytest.param("gpu", marks=pytest.mark.gpus(1))])
def both(request, tmp_path_factory, new_user):
    """A user who has trained the same prior in both precisions, from the same network and images, on a device."""
    user = new_user(tmp_path_factory.mktemp("precisions"))
    user.environment["DGN_CACHE"] = str(user.folder / "cache")
    user.device = request.param
    if user.device == "gpu":
        del user.environment["CUDA_VISIBLE_DEVICES"]
    for name, precision in (("full", FULL), ("low", LOW)):
        user.run("train.py", *tiny(user, precision), "trainer.max_steps=12", f"hydra.run.dir={name}")
    return user


def tiny(user, precision):
    """The tiny settings, in a precision and on the user's device."""
    others = [s for s in user.tiny if not s.startswith(("trainer.precision", "trainer.accelerator"))]
    return [*others, precision, f"trainer.accelerator={user.device}"]


def metrics(user, run):
    return json.loads((user.folder / run / "metrics.json").read_text())


def low(user):
    return [*tiny(user, LOW), *STEPS]


def test_both_precisions_train_the_same_prior(both):
    """Twelve steps of Adam at the default rate; bfloat16 has eight bits, float32 twenty-four."""
    assert yaml.safe_load((both.folder / "low" / "config.yaml").read_text())["trainer"]["precision"] == "bf16-mixed"
    full, lowered = metrics(both, "full"), metrics(both, "low")
    assert lowered["val/psnr"] == pytest.approx(full["val/psnr"], abs=0.5)
    assert lowered["val/feature_distance"] == pytest.approx(full["val/feature_distance"], rel=0.1)
    priors = [Prior.load(both.folder / run / "prior.safetensors") for run in ("full", "low")]
    torch.testing.assert_close(priors[0].statistics.mean, priors[1].statistics.mean, rtol=0, atol=0)  # in float32
    weights = [torch.cat([p.flatten() for p in prior.generator.parameters()]) for prior in priors]
    assert all(w.dtype == torch.float32 for w in weights)
    assert not torch.equal(*weights)  # it did compute in another precision
    assert torch.cosine_similarity(*weights, dim=0) > 0.99


@pytest.mark.parametrize("network", ["mini_caffenet", "mini_resnet"])
def test_a_classifier_with_every_augmentation(both, network):
    small = ["data.train_images=64", "data.val_images=16", "data.batch_size=8", f"trainer.accelerator={both.device}"]
    augmented = [f"augmentation.{change}" for change in AUGMENTATION]
    run = f"fitted_{network}"
    settings = ["task=encoder", f"encoder={network}", *small, LOW, *STEPS, *augmented, f"hydra.run.dir={run}"]
    both.run("train.py", *settings)
    assert 0 <= metrics(both, run)["val/accuracy"] <= 1
    assert 0 < metrics(both, run)["val/loss"] < float("inf")


@pytest.mark.parametrize(
    "settings",
    [
        ["encoder.layer=fc8", "discriminator.conditional=true"],
        ["encoder.layer=pool5", "loss.adversarial=0", "ema_decay=0"],
        ["encoder.layer=fc7", "recipe=paper", "loss.raw_features=true", "gradient_clip=1", "generator.width=0.05"],
        ["encoder.layer=conv3", "generator.upconvolution=learned"],
        ["encoder.layer=fc6", "data.image_size=32", "generator.normalize_codes=false"],  # what G gives is enlarged
        [
            *("comparator=mini_resnet", "comparator.weights=null", "comparator.layers=[layer1,layer2]"),
            *("comparator.input_size=48", "comparator.fit=crop", "comparator.resize=56"),
        ],
    ],
)
def test_every_kind_of_prior(both, settings):
    said, _ = both.run("train.py", *low(both), *settings)
    prior = Prior.load(said.strip().splitlines()[-1])
    images = prior.decode(prior.sample(2))
    assert images.shape == (2, 3, prior.image_size, prior.image_size)
    assert images.dtype == torch.float32
    assert images.isfinite().all()


@pytest.mark.parametrize("model", ["Patches", "half"])
def test_tokens_and_a_network_of_half_precision(both, model):
    (both.folder / "mine.py").write_text(TOKENS)
    network = ["encoder=custom", f"encoder.model={both.folder / 'mine.py'}:{model}", "encoder.input_size=32"]
    said, _ = both.run("train.py", *low(both), *network, "encoder.layer=block", "comparator.layers=[embed]")
    prior = Prior.load(said.strip().splitlines()[-1])
    assert prior.code_shape == (16, 16)
    assert prior.decode(prior.sample(2)).isfinite().all()


def test_a_network_of_half_precision_is_fitted_in_float32(both):
    (both.folder / "mine.py").write_text(TOKENS)
    network = ["encoder=custom", f"encoder.model={both.folder / 'mine.py'}:half", "encoder.input_size=32"]
    network += ["encoder.args={classes: 16}"]
    small = ["data.train_images=64", "data.val_images=16", "data.batch_size=8", f"trainer.accelerator={both.device}"]
    said, _ = both.run("train.py", "task=encoder", *network, *small, LOW, *STEPS, "hydra.run.dir=halved")
    assert "float16: fitted in float32" in said
    assert metrics(both, "halved")["val/loss"] < float("inf")


def test_a_prior_over_codes(both):
    both.run("train.py", "task=code_prior", "prior=low", LOW, *STEPS, "code_prior.images=32", "hydra.run.dir=codes")
    assert metrics(both, "codes")["val/loss"] > 0


@pytest.mark.slow
def test_two_processes_and_their_resumed_run(both):
    on_cpu = [*low(both), "trainer.accelerator=cpu"]
    both.run("train.py", *on_cpu, "trainer=ddp_cpu", "hydra.run.dir=two")
    both.run("train.py", *on_cpu, "hydra.run.dir=one")
    assert metrics(both, "two")["val/psnr"] == pytest.approx(metrics(both, "one")["val/psnr"], abs=0.2)
    both.run("train.py", f"resume={both.folder / 'two'}", "trainer=auto", LOW, "trainer.max_steps=6")
    assert metrics(both, "two")["steps"] == 6


def test_a_resumed_run_is_the_uninterrupted_one(both):
    """To the bit: on one machine, on a CPU."""
    settings = [*(s for s in low(both) if not s.startswith("trainer.max_steps")), "trainer.accelerator=cpu"]
    settings.append("schedule.at=[1000]")  # in steps: a fraction would be another step of a longer run
    both.run("train.py", *settings, "trainer.max_steps=3", "hydra.run.dir=resumed")
    both.run("train.py", f"resume={both.folder / 'resumed'}", "trainer.max_steps=6")
    both.run("train.py", *settings, "trainer.max_steps=6", "hydra.run.dir=whole")
    resumed, whole = (
        torch.load(both.folder / run / "checkpoints" / "last.ckpt", weights_only=True) for run in ("resumed", "whole")
    )
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], tensor), name


def test_every_method_searches_the_prior(both):
    methods = "dgn_am,ppgn2017,olah2017,maco2023,mfv2016,mahendran2015,yosinski2015,simonyan2013,pixels"
    small = ["units=fc8:1", "seeds=1", "steps=2", "reference_images=16", "judge=none", "top_images=0"]
    small.append("device=cpu" if both.device == "cpu" else "device=cuda")
    said, _ = both.run("visualize.py", "prior=low", f"method=[{methods}]", *small)
    rows = list(csv.DictReader((both.folder / said.strip().splitlines()[-1]).parent.joinpath("results.csv").open()))
    assert [row["method"] for row in rows] == methods.split(",")
    assert all(abs(float(row["activation"])) < float("inf") for row in rows)


def test_float16_is_refused_in_one_line(both):
    settings = [s for s in low(both) if s != LOW]
    _, err = both.run("train.py", *settings, "trainer.precision=16-mixed", status=2)
    (line,) = err.strip().splitlines()
    assert "bf16-mixed" in line
