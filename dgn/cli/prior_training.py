"""What a run of task=prior is asked to do, as plain values read from the config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hydra.utils import instantiate

from dgn.cli.run_settings import RunSettings
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior.principal import AXES
from dgn.training.adversarial import CrossEntropy
from dgn.training.building import Architectures
from dgn.training.code_model import CodeModelFit
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.progressive import Progressive
from dgn.training.settings import InversionSettings


@dataclass(frozen=True)
class PriorTraining:
    """The settings of a run that trains a prior.

    Attributes:
        run: the settings that all tasks have.
        layer: the layer of E to invert.
        comparator_layers: the layers of C to compare in; "auto": the deepest layer that is a map; "several": up to four
            maps of different sizes.
        statistics_images: the number of real images for the statistics of codes and features.
        statistics_split: "train" or "val", the split that these images are from.
        statistics_axes: the number of principal axes of the codes that are kept.
        architectures: how G and D are made.
        inversion: how G and D are trained.
        carries_encoder: whether the prior contains the weights of E; None: if they are small.
        code_model: how the model of the codes is fitted at the end; None: there is none.
        generator_init: a prior whose weights G starts from, where they fit.
    """

    run: RunSettings
    layer: str
    comparator_layers: Sequence[str] | Literal["auto", "several"]
    statistics_images: int
    statistics_split: str
    statistics_axes: int
    architectures: Architectures
    inversion: InversionSettings
    carries_encoder: bool | None
    code_model: CodeModelFit | None
    generator_init: str | None


def with_layer(config: Mapping[str, Any], encoder: FeatureNet) -> Mapping[str, Any]:
    """Returns the config with the layer to invert named, if encoder.layer is auto.

    So is generator.layer of the published generators, which is encoder.layer. The run's saved config keeps auto.
    """
    if config["encoder"]["layer"] != "auto":
        return config
    layer = encoder.code_layer()
    named = {**config, "encoder": {**config["encoder"], "layer": layer}}
    if config["generator"].get("layer") == "auto":
        named["generator"] = {**config["generator"], "layer": layer}
    return named


def read_prior_training(config: Mapping[str, Any], run: RunSettings) -> PriorTraining:
    """Reads the settings of task=prior. In `config`, encoder.layer is a name (`with_layer`).

    Keys that configs saved by earlier versions lack have their defaults.
    """
    generator = {k: v for k, v in config["generator"].items() if k != "init"}
    discriminator = {k: v for k, v in config["discriminator"].items() if k not in ("augment", "update")}
    init = config["generator"].get("init")
    follows = [name for name in ("pixels", "places") if discriminator.get(name) == "auto"]
    discriminator = {k: v for k, v in discriminator.items() if k not in follows}
    carried = config["export"]["encoder"]
    return PriorTraining(
        run=replace(run, config=config),
        layer=config["encoder"]["layer"],
        comparator_layers=_read_layers(config["comparator"]),
        statistics_images=config["statistics"]["images"],
        statistics_split=config["statistics"].get("split", "train"),
        statistics_axes=config["statistics"].get("axes", AXES),
        architectures=Architectures(
            instantiate(generator, _partial_=True, _convert_="all"),
            instantiate(discriminator, _partial_=True),
            follows=follows,
        ),
        inversion=InversionSettings(
            run.learning,
            run.max_steps,
            weights=instantiate(config["loss"]),
            adversarial=instantiate(config["adversarial"]) if "adversarial" in config else CrossEntropy(),
            code_noise=CodeNoise(config.get("code_noise", 0.0)),
            comparator_shift=_read_shift(config),
            progressive=_read_progressive(config.get("progressive", {})),
            augmentation=DifferentiableAugmentation(list(config["discriminator"].get("augment", []))),
            discriminator_update=config["discriminator"].get("update", "joint"),
            fan_in_limit=config.get("fan_in_limit"),
            ema_decay=config["ema_decay"],
            compile=config["compile"],
        ),
        carries_encoder=None if carried == "auto" else bool(carried),
        code_model=read_code_model_fit(run.config),
        generator_init=None if init is None else str(init),
    )


def read_code_model_fit(values: Mapping[str, Any]) -> CodeModelFit | None:
    """Reads how the code model is fitted; None if there is none. Raises UserError for a number that is too small."""
    group = values.get("code_model") or {}  # configs saved by earlier versions have none
    if group.get("_target_") is None:
        return None
    for key in ("codes", "axes", "width", "blocks", "steps", "batch_size"):
        if not isinstance(group[key], int) or isinstance(group[key], bool) or group[key] < 1:
            raise UserError(f"code_model.{key}={group[key]}: give a whole number, at least 1")
    fitting: CodeModelFit = instantiate(group)
    return fitting


def compared_layers(layers: Sequence[str] | Literal["auto", "several"], comparator: FeatureNet) -> list[str]:
    """Returns the names of the layers of C to compare in.

    Raises:
        UserError: If there is no layer of a name.
    """
    if isinstance(layers, str):
        names = comparator.several_layers() if layers == "several" else [comparator.trunk()]
    else:
        names = list(layers)
    for name in names:
        comparator.layer(name)
    return names


def _read_layers(comparator: Mapping[str, Any]) -> Sequence[str] | Literal["auto", "several"]:
    """Reads the layers of C: comparator.layer, else comparator.layers, a name or a list."""
    layers = comparator.get("layer") or comparator["layers"]
    if layers in ("auto", "several"):
        return layers
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise UserError("comparator.layers names none; give a list of layers, auto or several")
    return names


def _read_progressive(values: Mapping[str, Any]) -> Progressive:
    unknown = set(values) - {"until", "ramp"}
    if unknown:
        raise UserError(f"progressive.{min(unknown)}: no such key; there are progressive.until and progressive.ramp")
    return Progressive(**values)


def _read_shift(config: Mapping[str, Any]) -> int:
    shift = config.get("comparator_shift", 0)
    if not isinstance(shift, int) or isinstance(shift, bool) or shift < 0:
        raise UserError(f"comparator_shift={shift}: give a number of pixels, at least 0")
    return shift
