"""Builds what trains a prior from its settings: G, D, the module that trains them, and the prior's metadata."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator_base import Generator
from dgn.prior.statistics import UnitStatistics
from dgn.training.adversarial import Adversarial, CrossEntropy
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.fixed_networks import FixedNetworks
from dgn.training.inversion import Inversion, Networks, Optimizer, Schedule
from dgn.training.loss_weights import Combination

SMALL_ENCODER = 64 * 2**20
"""The largest encoder, in bytes, whose weights a prior carries by default."""


@dataclass(frozen=True)
class InversionSettings:
    """How G and D are built and trained.

    Attributes:
        make_generator: (code_shape, image_size) -> G.
        make_discriminator: (image_size, code_shape, comparator) -> D.
        make_optimizer: parameter groups -> optimizer.
        make_schedule: optimizer -> learning-rate schedule.
        weights: how the losses are combined, and how D and G are balanced.
        max_steps: the length of the run.
        initialize: changes the first weights of G, as `generator.init` does; None: they stay random.
        adversarial: the form of the adversarial loss.
        code_noise: noise on the codes that G is trained on.
        augmentation: random changes of the images that D sees.
        comparator_shift: the largest shift, in pixels, by which C sees both images of a pair.
        discriminator_update: "joint" or "before" (`dgn.training.inversion.Inversion`).
        ema_decay: decay of the average of G's weights; 0: no average.
        seed: seed of D's dropout.
        compile: whether G and D are compiled.
        accumulate: the number of batches of a step.
        gradient_clip: the largest norm of G's gradients, and of D's; None: no limit.
        carries_encoder: whether the prior contains the weights of E; None: if they are small.
    """

    make_generator: Callable[..., Generator]
    make_discriminator: Callable[..., Critic]
    make_optimizer: Optimizer
    make_schedule: Schedule
    weights: Combination
    max_steps: int
    initialize: Callable[[Generator], None] | None = None
    adversarial: Adversarial = field(default_factory=CrossEntropy)
    code_noise: CodeNoise = field(default_factory=CodeNoise)
    augmentation: DifferentiableAugmentation = field(default_factory=DifferentiableAugmentation)
    comparator_shift: int = 0
    discriminator_update: str = "joint"
    ema_decay: float = 0.998
    seed: int = 0
    compile: bool = False
    accumulate: int = 1
    gradient_clip: float | None = None
    carries_encoder: bool | None = None


def build_inversion(
    settings: InversionSettings,
    networks: FixedNetworks,
    image_size: int,
    codes: UnitStatistics,
    scales: Mapping[str, float],
    about: Mapping[str, Any],
) -> Inversion:
    """Builds G, D and the LightningModule that trains them.

    Initial weights are drawn from torch's global generator, first G's.

    Args:
        settings: How G and D are built and trained.
        networks: E and C.
        image_size: The side of the images in pixels.
        codes: The statistics of the codes.
        scales: {comparator layer: factor} (`dgn.training.losses.feature_scales`).
        about: The metadata of the prior.
    """
    code_shape = tuple(codes.mean.shape)
    generator = settings.make_generator(code_shape=code_shape, image_size=image_size)
    if settings.initialize is not None:
        settings.initialize(generator)
    discriminator = settings.make_discriminator(
        image_size=image_size, code_shape=code_shape, comparator=networks.comparator
    )
    for net in (generator, discriminator):
        net.to(memory_format=torch.channels_last)
    trained = Networks(
        networks.encoder,
        networks.layer,
        generator,
        discriminator,
        networks.own_comparator,
        networks.comparator_layers,
        scales,
    )
    return Inversion(
        trained,
        codes,
        settings.make_optimizer,
        settings.make_schedule,
        weights=settings.weights,
        max_steps=settings.max_steps,
        ema_decay=settings.ema_decay,
        seed=settings.seed,
        compile=settings.compile,
        accumulate=settings.accumulate,
        gradient_clip=settings.gradient_clip,
        discriminator_update=settings.discriminator_update,
        adversarial=settings.adversarial,
        code_noise=settings.code_noise,
        augmentation=settings.augmentation,
        comparator_shift=settings.comparator_shift,
        about=about,
        encoder_tensors=carried_tensors(networks.encoder, settings.carries_encoder),
    )


def carried_tensors(encoder: FeatureNet, carried: bool | None = None) -> dict[str, Tensor]:
    """Returns the weights of the encoder that its prior carries, on the CPU.

    Args:
        encoder: The encoder.
        carried: True: all weights; False: none ({}); None: all weights if they have at most SMALL_ENCODER bytes.
    """
    state = encoder.network.state_dict()
    if carried is None:
        carried = sum(tensor.numel() * tensor.element_size() for tensor in state.values()) <= SMALL_ENCODER
    return {name: tensor.cpu().clone() for name, tensor in state.items()} if carried else {}


def about_prior(
    networks: FixedNetworks,
    data: ImageData,
    steps: int,
    data_settings: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the metadata of a prior (`dgn.prior.Prior`), as far as they are known before its training.

    Args:
        networks: E and C.
        data: The images.
        steps: The number of training steps.
        data_settings: The settings from which `data` can be opened again.
        config: The config of the run.
    """
    encoder = networks.encoder
    return {
        "layer": networks.layer,
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": {**(data_settings or {}), "classes": list(data.classes)},
        "training": {"steps": steps, "images": len(data.train_source)},
        "config": dict(config or {}),
    }
