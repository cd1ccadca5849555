"""Arguments of Lightning's Trainer that a user adds with +trainer.KEY=VALUE.

They are passed on, merged with ours, or refused early if this program has another key for them.
"""

import difflib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_class, instantiate
from pytorch_lightning import profilers
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.plugins import CheckpointIO, ClusterEnvironment, LayerSync, Precision
from pytorch_lightning.plugins.io.wrapper import _WrappingCheckpointIO

from dgn.errors import UserError, first_line

_OURS = {
    "accumulate_grad_batches": "the training steps accumulate gradients themselves: give accumulate=K",
    "barebones": "it forbids what a run writes; give logger=none trainer.log_every_n_steps=0 to log nothing",
    "check_val_every_n_epoch": "training has no epochs; trainer.val_check_interval is a number of steps",
    "default_root_dir": "a run's folder is named with hydra.run.dir=FOLDER",
    "enable_checkpointing": "a run always writes checkpoints, every checkpoint.every_n_steps steps",
    "fast_dev_run": "give trainer.max_steps=1 for the shortest run",
    "gradient_clip_algorithm": "gradients are clipped by their norm: give gradient_clip=NORM",
    "gradient_clip_val": "the training steps clip gradients themselves: give gradient_clip=NORM",
    "limit_predict_batches": "training predicts nothing",
    "limit_test_batches": "training has no test stage; data.val_images says how many images are validated on",
    "limit_train_batches": "training has no epochs; trainer.max_steps says how many steps are trained",
    "logger": "loggers are chosen with logger=csv, tensorboard, wandb, none or a list of them",
    "max_epochs": "training has no epochs; trainer.max_steps says how many steps are trained",
    "min_epochs": "training has no epochs; trainer.max_steps says how many steps are trained",
    "model_registry": "priors are shared with python -m dgn.prior.sharing, or with logger=wandb",
    "overfit_batches": "training has no epochs; to overfit, give few images (of doodles: data.train_images)",
    "reload_dataloaders_every_n_epochs": "training has no epochs",
    "sync_batchnorm": "batch normalization is fixed (task=prior), or each process keeps its own (task=encoder)",
    "use_distributed_sampler": "each process takes its share of data.batch_size already",
}
"""Arguments that a user may not set, except to values that change nothing, and what to do instead."""
_NO_CHANGE = {"limit_train_batches": 1.0, "limit_test_batches": 1.0, "limit_predict_batches": 1.0, "max_epochs": -1}
_NO_CHANGE |= {"use_distributed_sampler": False}
"""Values of _OURS that change nothing here, where they are others than Lightning's defaults."""

_PROFILERS = {
    "simple": profilers.SimpleProfiler,
    "advanced": profilers.AdvancedProfiler,
    "pytorch": profilers.PyTorchProfiler,
}
_SWITCHES = ("benchmark", "detect_anomaly", "enable_autolog_hparams", "enable_model_summary", "inference_mode")

_PLUGIN_KINDS = (CheckpointIO, ClusterEnvironment, LayerSync, Precision)
"""Of each, Lightning takes one."""


def check_trainer(config: Mapping[str, Any], measures: Sequence[str]) -> None:
    """Raises UserError for wrong keys and values of trainer.

    Wrong keys are those that Lightning's Trainer does not have or that have another name here. Wrong values are those
    that would be refused, or end in an error, when the run is under way.

    Args:
        config: The config of the run, as plain values.
        measures: What the task's validation measures, for callbacks that monitor it.
    """
    trainer = dict(config["trainer"])
    parameters = inspect.signature(get_class(trainer.pop("_target_"))).parameters
    for key, value in trainer.items():
        if key not in parameters:
            raise UserError(unknown_argument(key, parameters, config))
        default = _NO_CHANGE.get(key, parameters[key].default)
        no_change = value is None or (type(value) is type(default) and value == default)
        if key in _OURS and not no_change:
            raise UserError(f"trainer.{key}={value}: {_OURS[key]}")
    _check_values(trainer)
    every = config["checkpoint"]["every_n_steps"]
    if not isinstance(every, int) or every < 0:
        raise UserError(f"checkpoint.every_n_steps={every}: give a number of steps; 0: none before the end")
    for key in ("callbacks", "plugins"):
        for settings in _settings(trainer.get(key), f"trainer.{key}"):
            _check_target(settings["_target_"], f"trainer.{key}")
            monitor = settings.get("monitor")
            if monitor is not None and monitor not in measures and not str(monitor).startswith(("train/", "balance/")):
                raise UserError(
                    f"trainer.{key}: monitor={monitor} of {settings['_target_']} is not measured; give one of "
                    f"{', '.join(measures)}, or of the training's (train/...)"
                )


def unknown_argument(key: str, parameters: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What to say of a key that Lightning's Trainer does not have. config: whose keys may be meant."""
    if key in config:
        return f"no key trainer.{key}: {key} is a top-level key, give {key}=VALUE"
    near = difflib.get_close_matches(key, [name for name in parameters if name != "self"], 1)
    hint = f"did you mean trainer.{near[0]}?" if near else "its keys are the arguments of pytorch_lightning.Trainer"
    return f"no key trainer.{key}; {hint}"


def argument_to_add(key: str) -> str | None:
    """The message about trainer.KEY, which the config does not have.

    None unless it is an argument of Lightning's Trainer.
    """
    if key in _OURS:
        return f"trainer.{key}: {_OURS[key]}"
    if key in inspect.signature(pl.Trainer.__init__).parameters:
        return f"trainer.{key} is an argument of Lightning's Trainer; add it with +trainer.{key}=VALUE"
    return None


def make_callbacks(trainer: Mapping[str, Any]) -> list[pl.Callback]:
    """The callbacks of a trainer's config. Raises UserError where one cannot be made."""
    return [_made(settings, pl.Callback, "trainer.callbacks") for settings in _given(trainer, "callbacks")]


def merged_plugins(trainer: Mapping[str, Any], ours: Sequence[Any]) -> list[Any]:
    """The plugins of a trainer's config, and those of ours whose place none of them takes.

    A plugin that wraps a CheckpointIO, as AsyncCheckpointIO does, wraps ours. Raises UserError where one cannot be
    made.
    """
    theirs = [_made(settings, _PLUGIN_KINDS, "trainer.plugins") for settings in _given(trainer, "plugins")]
    for plugin in theirs:
        if isinstance(plugin, Precision):
            raise UserError(f"trainer.plugins: {type(plugin).__name__}: what networks compute in is trainer.precision")
    kept = []
    for plugin in ours:
        (kind,) = [kind for kind in _PLUGIN_KINDS if isinstance(plugin, kind)]
        instead = next((their for their in theirs if isinstance(their, kind)), None)
        if instead is None:
            kept.append(plugin)
        elif isinstance(instead, _WrappingCheckpointIO) and instead.checkpoint_io is None:
            instead.checkpoint_io = plugin
    return [*kept, *theirs]


def trainer_arguments(trainer: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What Lightning's Trainer is given instead of the config's values, in its terms. folder: the run's."""
    steps, interval = trainer["max_steps"], trainer["val_check_interval"]
    if isinstance(interval, float) and interval <= 1:  # a share of the run
        interval = max(1, round(interval * steps)) if interval else steps
    elif interval is None or isinstance(interval, int | float):
        interval = min(int(interval or steps), steps)
    arguments = {
        "val_check_interval": interval,
        "num_sanity_val_steps": trainer.get("num_sanity_val_steps") or 0,
        "enable_model_summary": bool(trainer.get("enable_model_summary")),
    }
    profiler = trainer.get("profiler")
    if isinstance(profiler, str):
        arguments["profiler"] = _PROFILERS[profiler](dirpath=folder, filename="profile")
    return arguments


def shows_progress(callbacks: Sequence[pl.Callback]) -> bool:
    """Whether one of the callbacks is a progress bar."""
    return any(isinstance(callback, ProgressBar) for callback in callbacks)


def writes_checkpoints(callbacks: Sequence[pl.Callback]) -> bool:
    """Whether one of the callbacks writes checkpoints, beside ours."""
    return any(isinstance(callback, Checkpoint) for callback in callbacks)


def _check_values(trainer: Mapping[str, Any]) -> None:
    steps = trainer["max_steps"]
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise UserError(f"trainer.max_steps={steps} must be a number of steps, at least 1")
    every = trainer["log_every_n_steps"]
    if not isinstance(every, int) or every < 0:
        raise UserError(f"trainer.log_every_n_steps={every}: give a number of steps; 0: never")
    interval = trainer["val_check_interval"]
    if isinstance(interval, int | float) and not 0 <= interval < float("inf"):
        raise UserError(
            f"trainer.val_check_interval={interval}: give a number of steps, or a share of the run below 1; "
            "0: only at the end"
        )
    limit = trainer.get("limit_val_batches")
    if limit is not None and not _is_limit(limit):
        raise UserError(
            f"trainer.limit_val_batches={limit}: give a number of batches, a share between 0.0 and 1.0, "
            "or 0 to validate nothing"
        )
    for key in _SWITCHES:
        if trainer.get(key) not in (None, True, False):
            raise UserError(f"trainer.{key}={trainer[key]}: give true or false")
    if trainer.get("deterministic") not in (None, True, False, "warn"):
        raise UserError(f"trainer.deterministic={trainer['deterministic']}: give true, false or warn")
    sanity = trainer.get("num_sanity_val_steps")
    if sanity is not None and (not isinstance(sanity, int) or sanity < -1):
        raise UserError(f"trainer.num_sanity_val_steps={sanity}: give a number of batches, 0 for none or -1 for all")
    least = trainer.get("min_steps")
    if least is not None and (not isinstance(least, int) or not 0 <= least <= steps):
        raise UserError(f"trainer.min_steps={least}: give a number of steps up to trainer.max_steps={steps}")
    profiler = trainer.get("profiler")
    if isinstance(profiler, str) and profiler not in _PROFILERS:
        raise UserError(f"trainer.profiler={profiler}: give one of {', '.join(_PROFILERS)}")
    strategy = trainer.get("strategy")
    if isinstance(strategy, str) and strategy != "auto":
        raise UserError(f"trainer.strategy={strategy}: several processes train with trainer=ddp, or trainer=ddp_cpu")
    if (duration := trainer.get("max_time")) is not None:
        _check_duration(duration, "max_time")
    if isinstance(interval, str | Mapping):
        _check_duration(interval, "val_check_interval")


def _check_duration(duration: Any, key: str) -> None:
    try:
        pl.callbacks.Timer(duration)
    except Exception as error:  # of several kinds, by what is wrong
        raise UserError(
            f"trainer.{key}={duration}: give DD:HH:MM:SS, as '00:01:30:00', or {{hours: 1, minutes: 30}} "
            f"({first_line(error)})"
        ) from None


def _is_limit(limit: Any) -> bool:
    if isinstance(limit, float):
        return 0 <= limit <= 1
    return isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0


def _given(trainer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return list(_settings(trainer.get(key), f"trainer.{key}"))


def _settings(given: Any, key: str) -> Iterator[Mapping[str, Any]]:
    """What is to be made of a list, a group of named entries (null: left out) or a single one."""
    if given is None:
        return
    if isinstance(given, Mapping):
        given = [given] if "_target_" in given else [entry for entry in given.values() if entry is not None]
    for entry in given if isinstance(given, list) else [given]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("_target_"), str):
            raise UserError(f"{key}: {entry} names no class; give {key}=[{{_target_: PACKAGE.CLASS, ARGUMENT: VALUE}}]")
        yield entry


def _check_target(target: str, key: str) -> None:
    if target.rsplit(".", 1)[-1] == "GradientAccumulationScheduler":
        raise UserError(f"{key}: {target}: {_OURS['accumulate_grad_batches']}")
    try:
        pkgutil.resolve_name(target)
    except Exception as error:  # a module of the user's can fail in any way
        raise UserError(f"{key}: {target} cannot be imported ({first_line(error)})") from None


def _made(settings: Mapping[str, Any], kind: type | tuple[type, ...], key: str) -> Any:
    target = settings["_target_"]
    try:
        made = instantiate(settings, _convert_="all")
    except Exception as error:
        cause = error.__cause__ or error
        raise UserError(f"{key}: {target} cannot be made: {first_line(cause)}") from None
    if not isinstance(made, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(f"pytorch_lightning's {expected.__name__}" for expected in kinds)
        raise UserError(f"{key}: {target} is not {names}")
    return made
