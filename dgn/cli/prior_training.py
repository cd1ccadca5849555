"""What a run of task=prior is asked to do, as plain values read from the config."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.cli.config import plain
from dgn.cli.run_settings import RunSettings
from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator_base import Generator
from dgn.networks.landmarks import spread_maps
from dgn.training.adversarial import Adversarial, CrossEntropy
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.loss_weights import Combination


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
        make_generator: (code_shape, image_size) -> G.
        generator_init: a prior whose weights, where they fit, G starts from.
        make_discriminator: (image_size, code_shape, comparator) -> D.
        discriminator_update: "joint" or "before" (`dgn.training.inversion.Inversion`).
        augmentation: random changes of the images that D sees.
        adversarial: the form of the adversarial loss.
        weights: how the losses are combined, and how D and G are balanced.
        code_noise: noise on the codes that G is trained on.
        ema_decay: decay of the average of G's weights; 0: no average.
        compile: whether G and D are compiled.
        carries_encoder: whether the prior contains the weights of E; None: if they are small.
    """

    run: RunSettings
    layer: str
    comparator_layers: Sequence[str] | Literal["auto", "several"]
    statistics_images: int
    statistics_split: str
    make_generator: Callable[..., Generator]
    generator_init: str | None
    make_discriminator: Callable[..., Critic]
    discriminator_update: str
    augmentation: DifferentiableAugmentation
    adversarial: Adversarial
    weights: Combination
    code_noise: CodeNoise
    ema_decay: float
    compile: bool
    carries_encoder: bool | None


def with_layer(config: DictConfig, encoder: FeatureNet) -> DictConfig:
    """Returns a copy of the config that names the layer to invert if encoder.layer is auto.

    Other groups may refer to encoder.layer. The run's saved config keeps auto.
    """
    if config.encoder.layer != "auto":
        return config
    config = config.copy()
    config.encoder.layer = encoder.code_layer()
    return config


def read_prior_training(config: DictConfig, run: RunSettings) -> PriorTraining:
    """Reads the settings of task=prior. In `config`, encoder.layer is a name (`with_layer`).

    Keys that configs saved by earlier versions lack have their defaults.
    """
    discriminator = {k: v for k, v in plain(config.discriminator).items() if k not in ("augment", "update")}
    generator = {k: v for k, v in plain(config.generator).items() if k != "init"}
    init, carried = config.generator.get("init"), config.export.encoder
    return PriorTraining(
        run=replace(run, config=plain(config)),
        layer=config.encoder.layer,
        comparator_layers=_read_layers(config.comparator),
        statistics_images=config.statistics.images,
        statistics_split=config.statistics.get("split", "train"),
        make_generator=instantiate(generator, _partial_=True),
        generator_init=None if init is None else str(init),
        make_discriminator=instantiate(discriminator, _partial_=True),
        discriminator_update=config.discriminator.get("update", "joint"),
        augmentation=DifferentiableAugmentation(list(config.discriminator.get("augment", []))),
        adversarial=instantiate(config.adversarial) if "adversarial" in config else CrossEntropy(),
        weights=instantiate(config.loss),
        code_noise=CodeNoise(config.get("code_noise", 0.0)),
        ema_decay=config.ema_decay,
        compile=config.compile,
        carries_encoder=None if carried == "auto" else bool(carried),
    )


def compared_layers(layers: Sequence[str] | Literal["auto", "several"], comparator: FeatureNet) -> list[str]:
    """Returns the names of the layers of C to compare in.

    Raises:
        UserError: If there is no layer of a name.
    """
    if isinstance(layers, str):
        several = spread_maps(comparator.layers()) if layers == "several" else []
        names = several or [comparator.trunk()]
    else:
        names = list(layers)
    for name in names:
        comparator.layer(name)
    return names


def _read_layers(comparator: DictConfig) -> Sequence[str] | Literal["auto", "several"]:
    """Reads the layers of C: comparator.layer, else comparator.layers, a name or a list."""
    layers = comparator.get("layer") or comparator.layers
    if layers in ("auto", "several"):
        return layers
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise UserError("comparator.layers names none; give a list of layers, auto or several")
    return names
