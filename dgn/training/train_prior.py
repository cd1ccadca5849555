"""A prior in one call from Python, without a config or a folder.

It trains as `python train.py` does, with the same defaults: the same arguments give the same weights. A run that can be
interrupted and resumed, that logs or that trains on several devices is train.py's.
"""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.devices import device_of_accelerator, placed
from dgn.errors import UserError
from dgn.networks.discriminator import Discriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.usable import check
from dgn.prior import Prior
from dgn.training.callbacks import Progress
from dgn.training.code_model import CodeModelFit
from dgn.training.code_statistics import code_statistics
from dgn.training.inversion import Inversion, LossWeights, Networks, NonFiniteLoss
from dgn.training.precision import OwnLayers, resolve_precision
from dgn.training.quiet import quieten_lightning
from dgn.training.schedules import halve

SMALL_ENCODER = 64 * 2**20
"""The largest encoder, in bytes, whose weights a prior carries by default."""


def train_prior(
    encoder: FeatureNet,
    data: ImageData,
    layer: str | None = None,
    steps: int = 1700,
    *,
    comparator: FeatureNet | None = None,
    comparator_layers: Sequence[str] | None = None,
    weights: LossWeights | None = None,
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
        comparator_layers: The layers of C whose features are compared (None: the deepest feature map).
        weights: Weights of the three losses (None: those of train.py).
        width: Width of G and D, as a fraction of the paper's.
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
    layer = encoder.code_layer() if layer is None else layer
    compared = comparator or encoder
    names = [compared.trunk()] if comparator_layers is None else list(comparator_layers)
    device = device_of_accelerator(accelerator)
    encoder, compared = placed(encoder, device), placed(compared, device)
    check(encoder, "encoder", [layer])
    weights = weights or LossWeights(image=2e-4)
    if weights.feature > 0:  # else nothing is learned from its gradient
        check(compared, "comparator", names)
    codes, scales = code_statistics(data, encoder, layer, compared, names, statistics_images)
    code_shape = tuple(codes.mean.shape)
    with warnings.catch_warnings(), _same_random_state_after(device):
        quieten_lightning()
        torch.manual_seed(seed)
        generator = UpconvGenerator(code_shape, data.image_size, width=width, upconvolution="interpolated")
        discriminator = Discriminator(data.image_size, width=width)
        for net in (generator, discriminator):
            net.to(memory_format=torch.channels_last)
        module = Inversion(
            Networks(encoder, layer, generator, discriminator, comparator, names, scales),
            codes,
            partial(torch.optim.Adam, lr=lr, betas=(0.9, 0.99), weight_decay=4e-4, fused=True),
            partial(halve, max_steps=steps, at=(0.3, 0.5, 0.7, 0.9), warmup=50),
            weights=weights,
            ema_decay=ema_decay,
            seed=seed,
            codes_kept=code_model.codes if code_model is not None else 0,
            about=_about(encoder, layer, data, steps),
            encoder_tensors=carried_tensors(encoder),
        )
        trainer = pl.Trainer(
            max_steps=steps,
            accelerator=accelerator,
            devices=1,
            logger=False,
            callbacks=[Progress()] if progress else [],
            enable_progress_bar=progress,
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
            use_distributed_sampler=False,
            plugins=[OwnLayers(resolve_precision(precision, accelerator))],
        )
        try:
            trainer.fit(module, data)
        except NonFiniteLoss as error:
            raise UserError(f"a loss is not finite at {error}; lower lr or the loss weights") from None
        trainer.limit_val_batches = 1.0
        (module.about["metrics"],) = trainer.validate(module, data, verbose=False)
    prior = module.prior()
    if code_model is not None and module.codes is not None and module.held_out_codes is not None:
        seen, held_out = module.codes.coordinates, module.held_out_codes.coordinates
        prior.code_model, figures = code_model.fit(seen, held_out, seed, device)
        prior.about["metrics"] = {**prior.about["metrics"], **figures}
    return prior.to("cpu")


def _same_random_state_after(device: torch.device) -> AbstractContextManager[None]:
    """Returns a context after which the random state of the CPU and the device is as before."""
    return torch.random.fork_rng(device_type=device.type) if device.type != "cpu" else torch.random.fork_rng(devices=[])


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


def _about(encoder: FeatureNet, layer: str, data: ImageData, steps: int) -> dict[str, Any]:
    return {
        "layer": layer,
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": {"classes": list(data.classes)},
        "training": {"steps": steps, "images": len(data.train_source)},
        "config": {},
    }
