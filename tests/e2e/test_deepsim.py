"""experiment=deepsim/LAYER: the paper's training in every figure, and two steps of it; a study of its network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from dgn.cli.built_network import built_network
from dgn.cli.config import compose, plain
from dgn.cli.run_settings import read_schedule
from dgn.cli.train_prior import fit_prior
from dgn.networks.generator_plans import PUBLISHED
from dgn.networks.zoo import caffenet
from dgn.prior import Prior
from dgn.studies.running import read_evidence

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Two classes of two pictures, in ImageNet's folders."""
    root, noise = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0)
    for split in ("train", "val"):
        for wnid in ("n01440764", "n01443537"):
            for i in range(2):
                path = root / split / wnid / f"{i}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(noise.integers(256, size=(260, 270, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def encoder():
    return caffenet()


@pytest.mark.parametrize("layer", PUBLISHED)
def test_the_figures_are_the_papers(layer):
    config = compose("train", [f"experiment=deepsim/{layer}", "data.root=x", "encoder.weights=y", "logger=none"])
    assert (config.encoder.layer, config.encoder.weights) == (layer, "y")
    assert config.comparator._target_ is None  # the encoder itself
    assert list(config.comparator.layers) == ["pool5"]
    assert (config.data.name, config.data.image_size, config.data.resize, config.data.mirror) == (
        "imagenet",
        227,
        256,
        True,
    )
    assert config.data.batch_size == 64
    loss = config.loss
    assert (loss.image, loss.feature, loss.adversarial, loss.raw_features) == (2e-6, 0.01, 100, True)
    optimizer = config.optimizer
    assert optimizer._target_ == "torch.optim.Adam"
    assert (optimizer.lr, list(optimizer.betas), optimizer.weight_decay) == (2e-4, [0.9, 0.999], 4e-4)
    schedule = read_schedule(plain(config))(torch.optim.SGD([torch.zeros(1)], lr=1.0)).lr_lambdas[0]
    at = (0, 299_999, 300_000, 500_000, 700_000, 899_999, 900_000, 999_999)
    assert [schedule(step) for step in at] == [1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 8, 1 / 16, 1 / 16]
    assert config.trainer.max_steps == 1_000_000
    assert config.trainer.get("gradient_clip_val") is None
    assert config.ema_decay == 0
    assert config.discriminator.conditional
    assert config.discriminator["update"] == "before"
    assert config.statistics.split == "val"
    balance = instantiate(loss).balance
    assert (balance.discriminator_wins, balance.discriminator_returns, balance.generator_wins) == (0.1, 0.5, 10)


@pytest.mark.parametrize("layer", PUBLISHED)
def test_the_papers_training_takes_its_steps(layer, imagenet, encoder, tmp_path, monkeypatch):
    """With CaffeNet and G at full size, and random weights; one CaffeNet serves all, and checkpoints are left out
    (half a gigabyte each). A second step, with Adam's moments, is the same for every layer."""
    steps = 2 if layer == "fc6" else 1
    settings = ["encoder.weights=null", f"data.root={imagenet}", "data.batch_size=2", "data.num_workers=0"]
    settings += ["data.val_images=1", "statistics.images=2", f"trainer.max_steps={steps}", "trainer.accelerator=cpu"]
    settings += ["trainer.precision=32-true", "trainer.enable_progress_bar=false", "logger=none"]
    if len(PUBLISHED[layer][0]) == 3:  # D's first layer on the code of a map would be the largest of all
        settings += ["discriminator.code_units=[16,16]"]
    config = compose("train", [f"experiment=deepsim/{layer}", *settings])
    monkeypatch.setattr("dgn.cli.train_prior.network", lambda *_: encoder)
    monkeypatch.setattr("dgn.training.callbacks.Checkpoints._save", lambda *_: None)
    kept = SimpleNamespace()
    monkeypatch.setattr(Prior, "save", lambda prior, path: setattr(kept, "prior", prior))
    fit_prior(plain(config), tmp_path)
    assert kept.prior.layer == layer
    assert kept.prior.code_shape == PUBLISHED[layer][0]
    assert not kept.prior.generator.normalize_codes
    assert kept.prior.about["data"]["classes"] == ["tench", "goldfish"]
    assert kept.prior.about["training"]["steps"] == steps
    assert (tmp_path / "metrics.json").exists()
    assert len(list((tmp_path / "reconstructions").iterdir())) == 1


def test_a_study_takes_two_steps_with_imagenet_and_caffenet(imagenet, encoder, user, monkeypatch):
    monkeypatch.setattr("dgn.cli.networks.built_network", _instead(encoder))
    user.run(
        *("study.py", "study=pairs", "seeds=1", "hydra.run.dir=pairs", "device=cpu", "study.members=2", "steps=2"),
        *("data=imagenet", f"data.root={imagenet}", "data.batch_size=2", "data.num_workers=0", "data.val_images=2"),
        *("encoder=caffenet", "encoder.weights=null", "judge=mini_resnet", "judge.weights=null", "judge.width=8"),
        *("own_prior_steps=2", "encoder_batch=2", "reference_images=2"),
        'prior_settings=["generator.width=0.05","statistics.images=2","statistics.axes=0"]',
    )
    evidence = read_evidence(user.folder / "pairs")
    assert evidence.seeds == [0]
    assert [text.partition(" in ")[0] for text in evidence.trainings] == ["prior of fc6, seed 0: 2 steps"]
    assert all(statement["values"] != [None] for statement in evidence.statements)


def _instead(encoder):
    """Builds networks as usual, but CaffeNet, of which there is one."""

    def build(settings, *rest):
        return encoder if settings["_target_"].endswith(".caffenet") else built_network(settings, *rest)

    return build
