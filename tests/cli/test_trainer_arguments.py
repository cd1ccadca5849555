"""+trainer.KEY=VALUE: every argument of Lightning's Trainer is passed on, merged with ours, or refused in one line."""

import inspect

import pytest
import pytorch_lightning as pl
from pytorch_lightning.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

from dgn.cli.config import compose, plain
from dgn.cli.run_settings import read_step
from dgn.cli.trainer_arguments import argument_to_add, check_trainer, make_callbacks, merged_plugins, trainer_arguments
from dgn.errors import UserError
from dgn.training.callbacks import AtomicCheckpointIO
from dgn.training.precision import OwnLayers

MEASURES = ("val/psnr",)


@pytest.fixture(scope="module")
def usual():
    return plain(compose("train", ["trainer.max_steps=10", "logger=none"]))


def config_of(usual, **trainer):
    return usual | {"trainer": usual["trainer"] | trainer}


REFUSED = {
    "logger": (True, "logger="),
    "default_root_dir": ("here", "hydra.run.dir="),
    "enable_checkpointing": (False, "checkpoint.every_n_steps"),
    "max_epochs": (1, "trainer.max_steps"),
    "min_epochs": (1, "trainer.max_steps"),
    "fast_dev_run": (True, "trainer.max_steps=1"),
    "limit_train_batches": (0, "trainer.max_steps"),
    "limit_test_batches": (2, "data.val_images"),
    "limit_predict_batches": (2, "predicts nothing"),
    "overfit_batches": (1, "few images"),
    "check_val_every_n_epoch": (2, "trainer.val_check_interval"),
    "reload_dataloaders_every_n_epochs": (1, "no epochs"),
    "accumulate_grad_batches": (2, "accumulate=K"),
    "gradient_clip_val": (1.0, "gradient_clip=NORM"),
    "gradient_clip_algorithm": ("value", "gradient_clip=NORM"),
    "use_distributed_sampler": (True, "data.batch_size"),
    "sync_batchnorm": (True, "batch normalization"),
    "barebones": (True, "logger=none"),
    "model_registry": ("x", "dgn.prior.sharing"),
    "limit_val_batches": (1.5, "limit_val_batches=1.5"),
    "val_check_interval": (-1, "0: only at the end"),
    "max_steps": (2.5, "max_steps=2.5"),
    "min_steps": (11, "trainer.max_steps=10"),
    "max_time": ("soon", "DD:HH:MM:SS"),
    "num_sanity_val_steps": (-2, "-1 for all"),
    "log_every_n_steps": (-1, "0: never"),
    "deterministic": ("maybe", "warn"),
    "benchmark": ("maybe", "true or false"),
    "detect_anomaly": ("maybe", "true or false"),
    "inference_mode": ("maybe", "true or false"),
    "enable_model_summary": ("maybe", "true or false"),
    "enable_autolog_hparams": ("maybe", "true or false"),
    "profiler": ("fast", "simple"),
    "strategy": ("fsdp", "trainer=ddp"),
    "callbacks": (["EarlyStopping"], "_target_"),
    "plugins": (["ddp"], "_target_"),
}
"""Arguments with a wrong value, and a word of the line that it is refused with."""
ELSEWHERE = {"accelerator", "devices", "num_nodes", "precision", "enable_progress_bar"}
"""Arguments whose values other places check, or all of whose values are right."""


def test_every_argument_of_the_trainer_has_its_place_here():
    arguments = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    assert arguments == set(REFUSED) | ELSEWHERE


@pytest.mark.parametrize("key", REFUSED)
def test_impossible_settings_are_refused_with_an_alternative(usual, key):
    value, says = REFUSED[key]
    with pytest.raises(UserError) as refused:
        check_trainer(config_of(usual, **{key: value}), MEASURES)
    assert f"trainer.{key}" in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_values_that_change_nothing_are_accepted(usual):
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    usual_values = {key: parameters[key].default for key in REFUSED if key not in usual["trainer"]}
    usual_values |= {"limit_train_batches": 1.0, "max_epochs": -1, "use_distributed_sampler": False}
    check_trainer(config_of(usual, **usual_values), MEASURES)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("max_stepz", "did you mean trainer.max_steps"),
        ("limit_val_batch", "did you mean trainer.limit_val_batches"),
        ("accumulate", "give accumulate=VALUE"),
        ("seed", "give seed=VALUE"),
        ("wibble", "no key trainer.wibble"),
    ],
)
def test_an_unknown_key_is_refused_with_the_near_name(usual, key, says):
    with pytest.raises(UserError, match=says):
        check_trainer(config_of(usual, **{key: 1}), MEASURES)


def test_a_key_without_its_plus_says_how_to_add_it():
    assert "+trainer.limit_val_batches=VALUE" in argument_to_add("limit_val_batches")
    assert "accumulate=K" in argument_to_add("accumulate_grad_batches")
    assert argument_to_add("max_stepz") is None


@pytest.mark.parametrize(
    ("interval", "steps"),
    [(0, 10), (0.0, 10), (None, 10), (4, 4), (10, 10), (99, 10), (0.5, 5), (1.0, 10), (0.01, 1), ("00:00:01:00",) * 2],
)
def test_how_often_is_validated_is_in_steps_and_at_most_the_run(usual, tmp_path, interval, steps):
    config = config_of(usual, val_check_interval=interval)
    check_trainer(config, MEASURES)
    assert trainer_arguments(config["trainer"], tmp_path)["val_check_interval"] == steps


STOP = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "val/psnr"}
TIMER = {"_target_": "pytorch_lightning.callbacks.Timer", "duration": {"hours": 1}}


@pytest.mark.parametrize("given", [[STOP, TIMER], {"stop": STOP, "left_out": None, "timer": TIMER}])
def test_callbacks_are_a_list_or_a_group(usual, given):
    config = config_of(usual, callbacks=given)
    check_trainer(config, MEASURES)
    assert [type(made).__name__ for made in make_callbacks(config["trainer"])] == ["EarlyStopping", "Timer"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"_target_": "pytorch_lightning.callbacks.EarlyStoping"}, "EarlyStoping cannot be imported"),
        ({"_target_": "nowhere.Callback"}, "nowhere.Callback cannot be imported"),
        (STOP | {"monitor": "val/accuracy"}, "monitor=val/accuracy"),
        ({"_target_": "pytorch_lightning.callbacks.GradientAccumulationScheduler"}, "accumulate=K"),
        ({"_target_": "torch.nn.ReLU"}, "torch.nn.ReLU is not"),
        (STOP | {"patienze": 1}, "patienze"),
    ],
)
def test_a_callback_that_cannot_be_made_is_named(usual, settings, says):
    def check_and_make(config):
        check_trainer(config, MEASURES)
        make_callbacks(config["trainer"])

    with pytest.raises(UserError, match=says):
        check_and_make(config_of(usual, callbacks=[settings]))


def test_plugins_join_ours(usual):
    def merged(*names):
        plugins = [{"_target_": f"pytorch_lightning.plugins.{name}"} for name in names]
        return merged_plugins(
            config_of(usual, plugins=plugins)["trainer"], [AtomicCheckpointIO(), OwnLayers("32-true")]
        )

    kinds = [type(plugin) for plugin in merged("environments.LightningEnvironment")]
    assert [kind.__name__ for kind in kinds] == ["AtomicCheckpointIO", "OwnLayers", "LightningEnvironment"]
    precision, checkpoints = merged("io.AsyncCheckpointIO")  # around ours, whose files appear whole
    assert isinstance(precision, OwnLayers)
    assert isinstance(checkpoints, AsyncCheckpointIO)
    assert isinstance(checkpoints.checkpoint_io, AtomicCheckpointIO)
    assert [type(plugin) for plugin in merged("io.TorchCheckpointIO")] == [OwnLayers, TorchCheckpointIO]
    with pytest.raises(UserError, match=r"trainer\.precision"):
        merged("precision.DoublePrecision")


@pytest.mark.parametrize(
    "wrong", [{"accumulate": 0}, {"accumulate": 1.5}, {"gradient_clip": 0}, {"gradient_clip": "x"}]
)
def test_accumulation_and_clipping_are_checked(usual, wrong):
    assert read_step(usual) == (1, None)
    with pytest.raises(UserError, match=f"{next(iter(wrong))}="):
        read_step(usual | wrong)
