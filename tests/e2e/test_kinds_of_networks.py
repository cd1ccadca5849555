"""Networks of unusual kinds: their layers, three steps of training and a preferred image."""

from pathlib import Path

import pytest

from dgn import Prior, dgn_am, parse_units
from dgn.cli.config import compose, plain, register_resolvers
from dgn.cli.networks import network
from dgn.cli.train_prior import fit_prior
from dgn.networks.custom import custom
from dgn.networks.libraries import timm

pytestmark = pytest.mark.e2e
OWN = Path(__file__).resolve().parents[2] / "benchmarks" / "other_networks.py"
TINY = [
    *("data.train_images=16", "data.val_images=8", "data.batch_size=4", "data.cache=none", "statistics.images=8"),
    *("generator.width=0.02", "discriminator.channels=8", "trainer.max_steps=3", "trainer.accelerator=cpu"),
    *("trainer.precision=32-true", "trainer.enable_progress_bar=false", "logger=none", "export.encoder=false"),
]
KINDS = {  # the layer of classes, and a unit
    "RowReader": ("head", "head:1"),
    "Mixer": ("head", "head:1"),
    "Conditioned": ("head", "head:1"),
    "Described": ("head", "head:1"),
    "Pyramid": (None, "fpn:layer4:1@0,0"),
    "Segmenter": (None, "classifier:1@8,8"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    register_resolvers()
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_and_a_preferred_image_for_a_network_of_an_unusual_kind(kind, folder, monkeypatch):
    classes, unit = KINDS[kind]
    net = custom(f"{OWN}:{kind}", input_size=64)
    assert net.layer(unit.rpartition(":")[0]).units >= 5
    if classes is not None:
        assert net.class_layer() == classes
    config = compose("train", [*TINY, "encoder=custom", f"encoder.model={OWN}:{kind}"])
    prior = Prior.load(fit_prior(plain(config), folder / "run"))
    encoder = network(plain(config.encoder), image_shape=(3, 64, 64))
    prior.offer(encoder)
    preferred = dgn_am(prior, parse_units(unit, prior.encoder_net()), seeds=[0], steps=3)
    assert preferred.images.shape == (1, 3, 64, 64)
    assert preferred.images.isfinite().all()


@pytest.mark.parametrize("name", ["mixer_s32_224", "sequencer2d_s", "levit_128s"])
def test_mixers_and_recurrent_networks_of_timm(name):
    pytest.importorskip("timm")
    net = timm(name, weights=None, input_size=64)
    assert net.layer(net.class_layer()).units == 1000
