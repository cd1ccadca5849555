"""dgn.train_prior is train.py's training without a config: the same numbers come out."""

import pytest
import torch

from dgn import Prior, UserError, train_prior
from dgn.cli.config import compose, plain
from dgn.cli.train_prior import fit_prior
from dgn.data.sources import doodles
from dgn.networks.zoo import mini_caffenet

SETTINGS = dict(train_images=32, val_images=16, batch_size=8, cache="none")


def test_it_ends_in_the_weights_of_train_py(tmp_path):
    overrides = [f"data.{key}={value}" for key, value in SETTINGS.items()]
    overrides += ["encoder.weights=null", "encoder.trunk=auto", "statistics.images=16", "logger=none"]
    overrides += ["trainer.max_steps=3", "trainer.precision=32-true", "trainer.accelerator=cpu"]
    path = fit_prior(plain(compose("train", overrides)), tmp_path)
    trained = Prior.load(path)
    data = doodles(**SETTINGS)
    encoder = mini_caffenet(classes=16)
    made = train_prior(encoder, data, "fc6", 3, statistics_images=16, accelerator="cpu", precision="32-true")
    assert made.encoder_is(trained.encoder_net())
    torch.testing.assert_close(made.statistics.mean, trained.statistics.mean, rtol=0, atol=0)
    theirs = trained.generator.state_dict()
    for name, tensor in made.generator.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, msg=name)
    assert made.about["metrics"]["val/psnr"] == pytest.approx(trained.about["metrics"]["val/psnr"])


def test_the_global_random_state_stays_as_it_was():
    data = doodles(**SETTINGS)
    encoder = mini_caffenet(classes=16)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_prior(encoder, data, "fc6", 1, width=0.05, statistics_images=16, accelerator="cpu", precision="32-true")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_that_does_not_exist_is_reported():
    with pytest.raises(UserError, match="no layer 'fc9'"):
        train_prior(mini_caffenet(classes=16), doodles(**SETTINGS), "fc9", 1)
