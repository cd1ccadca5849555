"""The start of a training run: what is checked, and what is saved."""

from types import SimpleNamespace

import pytest
import yaml
from hydra.types import RunMode

from dgn.cli import run_start
from dgn.cli.config import compose, plain
from dgn.cli.config_folders import package_configs
from dgn.cli.prior_training import with_layer
from dgn.errors import UserError
from dgn.networks.zoo import caffenet

WITHOUT_VALIDATION = {"limit_val_batches": 0}


@pytest.fixture
def multirun(monkeypatch):
    """Makes this a job of a multirun, by a sweeper of these settings."""

    def make(sweeper: dict) -> None:
        hydra = SimpleNamespace(mode=RunMode.MULTIRUN, sweeper=sweeper)
        monkeypatch.setattr(run_start, "HydraConfig", SimpleNamespace(initialized=lambda: True, get=lambda: hydra))

    return make


def sweeper(name: str) -> dict:
    """The settings of a sweeper of the package."""
    return yaml.safe_load((package_configs() / "hydra" / "sweeper" / f"{name}.yaml").read_text())


def test_what_is_not_measured_cannot_be_optimized(multirun):
    multirun(sweeper("optuna"))
    with pytest.raises(UserError, match="metric=val/psnr"):
        run_start._check_validation("val/psnr", WITHOUT_VALIDATION)
    run_start._check_validation("fit_seconds", WITHOUT_VALIDATION)
    run_start._check_validation("val/psnr", {"limit_val_batches": 2})


def test_a_grid_and_random_search_need_no_metric(multirun):
    multirun({"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "max_batch_size": None})
    run_start._check_validation("val/psnr", WITHOUT_VALIDATION)
    multirun(sweeper("random"))
    run_start._check_validation("val/psnr", WITHOUT_VALIDATION)


def test_a_single_run_needs_no_metric():
    run_start._check_validation("val/psnr", WITHOUT_VALIDATION)


def test_the_published_generators_see_the_layer_that_auto_means_and_the_saved_config_keeps_auto():
    overrides = ["encoder=caffenet", "generator=published", "encoder.layer=auto", "logger=none"]
    config = plain(compose("train", overrides))
    encoder = caffenet(classes=4)
    named = with_layer(config, encoder)
    assert named["encoder"]["layer"] == named["generator"]["layer"] == encoder.code_layer()
    assert (config["encoder"]["layer"], config["generator"]["layer"]) == ("auto", "auto")
    given = plain(compose("train", ["encoder.layer=pool5", "logger=none"]))
    assert with_layer(given, encoder)["encoder"]["layer"] == "pool5"
