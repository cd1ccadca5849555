"""Builds what trains a prior from its settings: G, D, the module that trains them, and the prior's metadata."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.data.size import image_size
from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator_base import Generator
from dgn.prior.statistics import UnitStatistics
from dgn.training.fixed_networks import FixedNetworks
from dgn.training.inversion import Inversion
from dgn.training.networks import Networks
from dgn.training.progressive import half_factors
from dgn.training.settings import InversionSettings

SMALL_ENCODER = 64 * 2**20
"""The largest encoder, in bytes, whose weights a prior carries by default."""
PIXELS = 32
"""The channels of D's head on pixels where it has one by discriminator.pixels=auto."""


@dataclass(frozen=True)
class Architectures:
    """How G and D are made.

    Attributes:
        make_generator: (code_shape, image_size) -> G; also `channels`, where they are not RGB.
        make_discriminator: (image_size, code_shape, comparator) -> D; also `image_channels`, likewise.
        initialize: Changes the first weights of G, as `generator.init` does; None: they stay random.
        follows: Those of make_discriminator's arguments `pixels` and `places` that follow the losses. Where the
            adversarial loss has the largest share of the gradient, `pixels` (the channels of a head on patches) is
            PIXELS, else 0. `places` (a head that is linear in the pixels) is the other way round: where no image loss
            holds G, it would follow this head to images that are black and white.
    """

    make_generator: Callable[..., Generator]
    make_discriminator: Callable[..., Critic]
    initialize: Callable[[Generator], None] | None = None
    follows: Collection[str] = ()


def build_inversion(
    architectures: Architectures,
    settings: InversionSettings,
    fixed: FixedNetworks,
    image_shape: tuple[int, int, int],
    codes: UnitStatistics,
    scales: Mapping[str, float],
    about: Mapping[str, Any],
    carries_encoder: bool | None = None,
) -> Inversion:
    """Builds G, D and the LightningModule that trains them.

    Initial weights are drawn from torch's global generator, first G's.

    Args:
        architectures: How G and D are made.
        settings: How they are trained.
        fixed: E and C.
        image_shape: (channels, height, width) of the images.
        codes: The statistics of the codes.
        scales: {comparator layer: factor} (`dgn.training.losses.feature_scales`).
        about: The metadata of the prior.
        carries_encoder: Whether the prior contains the weights of E (`carried_tensors`).
    """
    code_shape = tuple(codes.mean.shape)
    size, channels = image_size(image_shape[1:]), image_shape[0]
    further: dict[str, dict[str, Any]] = {"G": {}, "D": {}}
    if channels != 3:  # not asked of what makes RGB images alone
        further = {"G": {"channels": channels}, "D": {"image_channels": channels}}
    leads = settings.weights.adversarial_leads
    followed = {"pixels": PIXELS if leads else 0, "places": not leads}
    further["D"] |= {name: followed[name] for name in architectures.follows}
    generator = architectures.make_generator(code_shape=code_shape, image_size=size, **further["G"])
    if not any(parameter.requires_grad for parameter in generator.parameters()):
        raise UserError(f"{generator.own_code or 'the generator'} has no weights to train, or all of them are frozen")
    if architectures.initialize is not None:
        architectures.initialize(generator)
    discriminator = architectures.make_discriminator(
        image_size=size, code_shape=code_shape, comparator=fixed.comparator, **further["D"]
    )
    halves: Mapping[str, float] = {}
    if settings.progressive.used:
        halves = half_factors(
            fixed.comparator, fixed.comparator_layers, image_shape, discriminator, torch.zeros(code_shape)
        )
    for net in (generator, discriminator):
        net.to(memory_format=torch.channels_last)
    networks = Networks(
        fixed.encoder,
        fixed.layer,
        generator,
        discriminator,
        fixed.own_comparator,
        fixed.comparator_layers,
        scales,
        halves,
    )
    return Inversion(networks, codes, settings, about, carried_tensors(fixed.encoder, carries_encoder))


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
    explained: float | None = None,
) -> dict[str, Any]:
    """Returns the metadata of a prior (`dgn.prior.Prior`), as far as they are known before its training.

    Args:
        networks: E and C.
        data: The images.
        steps: The number of training steps.
        data_settings: The settings from which `data` can be opened again.
        config: The config of the run.
        explained: The share of the variance of pixels that codes explain, if it was measured.
    """
    encoder = networks.encoder
    return {
        "layer": networks.layer,
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": {**(data_settings or {}), "classes": list(data.classes)},
        "training": {
            "steps": steps,
            "images": len(data.train_source),
            **({} if explained is None else {"explained": explained}),
        },
        "config": dict(config or {}),
    }
