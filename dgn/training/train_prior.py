"""A prior in one call from Python, without a config or a folder.

It trains as `python train.py` does, with the same defaults: the same arguments give the same weights. A run that can be
interrupted and resumed, that logs or that trains on several devices is train.py's.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytorch_lightning as pl
import torch

from dgn.data.datamodule import ImageData
from dgn.devices import device_of_accelerator
from dgn.errors import UserError
from dgn.networks.feature_discriminator import feature_discriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.training.adversarial import Hinge
from dgn.training.building import Architectures, about_prior, build_inversion
from dgn.training.callbacks import Progress
from dgn.training.code_model import CodeModelFit
from dgn.training.code_noise import CodeNoise
from dgn.training.code_statistics import code_statistics, losses_for_codes
from dgn.training.fixed_networks import FixedNetworks
from dgn.training.inversion import NonFiniteLoss
from dgn.training.loss_weights import Combination, LossShares
from dgn.training.precision import precision_plugin
from dgn.training.quiet import quieten_lightning
from dgn.training.schedules import halve
from dgn.training.settings import InversionSettings, Learning
from dgn.training.trainer_data import TrainerData


def train_prior(
    encoder: FeatureNet,
    data: ImageData,
    layer: str | None = None,
    steps: int = 4800,
    *,
    comparator: FeatureNet | None = None,
    comparator_layers: Sequence[str] | None = None,
    weights: Combination | None = None,
    code_noise: float = 0.5,
    comparator_shift: int = 0,
    width: float = 0.25,
    lr: float = 2e-3,
    ema_decay: float = 0.998,
    statistics_images: int = 2000,
    code_model: CodeModelFit | None = CodeModelFit(),  # noqa: B008 (frozen)
    seed: int = 0,
    accelerator: str = "auto",
    precision: str = "auto",
    progress: bool = False,
) -> Prior:
    """Trains a generator to invert a layer of the encoder (Dosovitskiy & Brox 2016).

    Args:
        encoder: E (`dgn.networks.libraries.torchvision`, `dgn.networks.custom.custom`, ...).
        data: The images (`dgn.data.sources`).
        layer: The layer of the encoder to invert (None: the input of its class layer).
        steps: The number of updates of G and D.
        comparator: C (None: the encoder).
        comparator_layers: The layers of C whose features are compared (None: up to four maps of different
            sizes).
        weights: How the three losses are combined (None: as in train.py).
        code_noise: Strength of the noise on the codes that G is trained on (0: none).
        comparator_shift: C sees images shifted by up to so many pixels (0: not shifted).
        width: Width of G, as a fraction of the paper's.
        lr: Learning rate of Adam.
        ema_decay: Decay of the average of G's weights that the prior holds.
        statistics_images: The number of real images over which the codes are measured.
        code_model: How the model of the codes is fitted at the end (None: there is none, and method=guided cannot use
            the prior).
        seed: Seed of initial weights and dropout.
        accelerator: As trainer.accelerator of train.py.
        precision: As trainer.precision of train.py.
        progress: Show a progress bar.

    Returns:
        The prior, on the CPU. Its `about["metrics"]` holds the metrics of validation.

    Raises:
        UserError: If a layer does not exist, a network cannot take its role (`dgn.networks.usable`), the codes cannot
            be inverted (not finite, or the same for all images), or a loss becomes infinite.
    """
    if steps < 1:
        raise UserError(f"steps={steps} must be at least 1")
    names = (comparator or encoder).several_layers() if comparator_layers is None else list(comparator_layers)
    networks = FixedNetworks(encoder, encoder.code_layer() if layer is None else layer, comparator, names)
    make_generator = partial(UpconvGenerator, width=width, upconvolution="smooth")
    architectures = Architectures(make_generator, feature_discriminator, follows=("pixels", "places"))
    learning = Learning(
        partial(torch.optim.Adam, lr=lr, betas=(0.9, 0.99), weight_decay=4e-4, fused=True),
        partial(halve, max_steps=steps, at=(0.3, 0.5, 0.7, 0.9), warmup=50),
        seed,
    )
    settings = InversionSettings(
        learning,
        steps,
        weights or LossShares(),
        adversarial=Hinge(),
        code_noise=CodeNoise(code_noise),
        comparator_shift=comparator_shift,
        fan_in_limit=1152,  # of recipe=short
        ema_decay=ema_decay,
    )
    networks = networks.to(device_of_accelerator(accelerator))
    trainer = partial(_trainer, steps, accelerator, precision, progress)
    return _train(architectures, settings, networks, data, statistics_images, trainer, code_model)


def _train(
    architectures: Architectures,
    settings: InversionSettings,
    networks: FixedNetworks,
    data: ImageData,
    statistics_images: int,
    make_trainer: Callable[[], pl.Trainer],
    code_model: CodeModelFit | None,
) -> Prior:
    """Measures the codes, and trains G for the steps of the trainer; returns the prior."""
    networks.check(settings.weights.feature)
    encoder, device = networks.encoder, networks.encoder.device
    measures = code_statistics(
        data,
        encoder,
        networks.layer,
        networks.comparator,
        networks.comparator_layers,
        statistics_images,
        explained=settings.weights.asks_explained,
    )
    codes, scales = measures.codes, measures.scales
    settings = replace(settings, weights=losses_for_codes(settings.weights, measures))
    with warnings.catch_warnings(), _same_random_state_after(device):
        quieten_lightning()
        torch.manual_seed(settings.learning.seed)
        trainer, images = make_trainer(), TrainerData(data)
        about = about_prior(networks, data, trainer.max_steps, explained=measures.explained)
        module = build_inversion(architectures, settings, networks, data.image_shape, codes, scales, about)
        module.keep_codes(code_model.codes if code_model is not None else 0)
        try:
            trainer.fit(module, images)
        except NonFiniteLoss as error:
            raise UserError(f"a loss is not finite at {error}; lower lr or the loss weights") from None
        trainer.limit_val_batches = 1.0
        (module.about["metrics"],) = trainer.validate(module, images, verbose=False)
    prior = module.prior()
    if code_model is not None and module.codes is not None and module.held_out_codes is not None:
        seen, held_out = module.codes.coordinates, module.held_out_codes.coordinates
        prior.code_model, figures = code_model.fit(seen, held_out, settings.learning.seed, device)
        prior.about["metrics"] = {**prior.about["metrics"], **figures}
    return prior.to("cpu")


def _trainer(steps: int, accelerator: str, precision: str, progress: bool) -> pl.Trainer:
    plugin, measuring = precision_plugin(precision, accelerator)
    return pl.Trainer(
        max_steps=steps,
        accelerator=accelerator,
        devices=1,
        logger=False,
        callbacks=[*measuring, *([Progress()] if progress else [])],
        enable_progress_bar=progress,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
        plugins=[plugin],
    )


def _same_random_state_after(device: torch.device) -> AbstractContextManager[None]:
    """Returns a context after which the random state of the CPU and the device is as before."""
    return torch.random.fork_rng(device_type=device.type) if device.type != "cpu" else torch.random.fork_rng(devices=[])
