"""Inversion: training G_l to invert layer l of E, against D (Dosovitskiy & Brox 2016, section 3).

One step reads as the algorithm does: encode, generate, compare, judge, learn. Where several processes train together
each does this with its share of the batch; losses and gradients are means over all of them before anything follows
from them, so that all agree on who learns and on every weight. With `accumulate`, each does it with one part of its
share after the other, and learns from the means over the parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.profiler import record_function

from dgn.errors import UserError
from dgn.networks.discriminator import GENERATED, REAL, Discriminator
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.statistics import UnitStatistics
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.balance import Balance
from dgn.training.losses import adversarial_loss, discriminator_loss, feature_loss
from dgn.training.losses import image_loss as pixel_loss
from dgn.training.randomness import seed_step
from dgn.training.readback import Readback
from dgn.training.replicas import average, average_gradients
from dgn.training.schedules import optimizer_of, schedule_of
from dgn.training.step_log import log_step


@dataclass(frozen=True)
class LossWeights:
    """L = image * L_img + feature * L_feat + adversarial * L_adv, in the paper's terms (`dgn.training.losses`).

    adversarial = 0 trains without a discriminator. raw_features: features enter as they are, as the paper's pool5
    do, and not at the variance of CaffeNet's pool5.
    """

    image: float = 2e-6
    feature: float = 0.01
    adversarial: float = 100.0
    raw_features: bool = False

    def __post_init__(self) -> None:
        for name in ("image", "feature", "adversarial"):
            weight = getattr(self, name)
            if not 0 <= weight < float("inf"):
                raise UserError(f"loss.{name}={weight} is no weight; give a number >= 0 (0 leaves the loss out)")
        if self.image == self.feature == self.adversarial == 0:
            raise UserError("loss.image, loss.feature and loss.adversarial are all 0: there is nothing to learn")


@dataclass
class Networks:
    """Who plays. comparator None: the encoder's own trunk, so that one pass over real images gives codes and
    features. feature_scales: {comparator layer: factor} of `dgn.training.losses.feature_scales`."""

    encoder: FeatureNet
    layer: str
    generator: UpconvGenerator
    discriminator: Discriminator | None
    comparator: FeatureNet | None
    comparator_layers: Sequence[str]
    feature_scales: Mapping[str, float] = field(default_factory=dict)


Optimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


class Inversion(pl.LightningModule):
    """The LightningModule.

    networks: E, G, D, C. statistics: of the codes over real images; they travel with every checkpoint.
    optimizer, schedule: makers; one Adam holds G's and D's parameters, and whoever is frozen in a step has no
    gradients, which Adam passes over. So the trainer's global_step is the number of iterations.
    ema_decay: of the average of G's weights that the prior holds (0: none; the prior holds G itself).
    seed: of what is random in a step (D's dropout): a function of (seed, step), so that a resumed run draws what the
    uninterrupted one would, and several processes what one would.
    compile: torch.compile for G and D.
    accumulate: into how many equal parts the batch of a step is divided, whose gradients are added up: the same step
        as without, in the memory of one part (no network that learns here has batch normalization).
    gradient_clip: the largest norm of G's gradients, and of D's; None: any.
    about, encoder_tensors: what the prior says of itself, and the encoder's weights where it carries them
        (`dgn.prior.Prior`); in every checkpoint, so that each is a prior too.
    """

    strict_loading = False  # E and C are fixed: checkpoints leave them out.

    def __init__(
        self,
        networks: Networks,
        statistics: UnitStatistics,
        optimizer: Optimizer,
        schedule: Schedule,
        weights: LossWeights | None = None,
        ema_decay: float = 0.999,
        seed: int = 0,
        compile: bool = False,
        accumulate: int = 1,
        gradient_clip: float | None = None,
        about: Mapping[str, Any] | None = None,
        encoder_tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.about, self.encoder_tensors = dict(about or {}), dict(encoder_tensors or {})
        self.encoder, self.layer = networks.encoder, networks.layer
        self.comparator, self.comparator_layers = networks.comparator, list(networks.comparator_layers)
        self.feature_scales = dict(networks.feature_scales)
        self.generator = networks.generator
        self.weights = weights or LossWeights()
        self.discriminator = networks.discriminator if self.weights.adversarial > 0 else None
        self.statistics = statistics
        self.generator.set_code_statistics(statistics.mean, statistics.std)
        self.average = AveragedModel(self.generator, multi_avg_fn=_ema(ema_decay)) if ema_decay else None
        if self.average is not None:
            self.average.requires_grad_(False)
        self.balance = Balance()
        self.seed, self.accumulate, self.gradient_clip = seed, accumulate, gradient_clip
        self.make_optimizer, self.make_schedule = optimizer, schedule
        if compile:  # in place, so that the names in a checkpoint stay the same
            for network in filter(None, (self.generator, self.discriminator)):
                network.compile()
        self.readback = Readback()

    @property
    def best_generator(self) -> UpconvGenerator:
        """The generator that a prior holds: the average of the weights, or the weights where none is kept."""
        return cast(UpconvGenerator, self.average.module) if self.average is not None else self.generator

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        seed_step(self.seed, self.global_step)
        optimizer = optimizer_of(self)
        optimizer.zero_grad(set_to_none=True)
        for (images,) in parts(batch[:1], self.accumulate):
            with record_function("encode"):
                codes, features = self.encode(images)
            with record_function("generate"):
                generated = self.generator(codes)
            with record_function("compare"):
                loss_image = pixel_loss(generated, images)
                loss_feature = feature_loss(self.compare(generated), features, self.feature_scales)
            w = self.weights
            loss_generator = w.image * loss_image + w.feature * loss_feature
            losses = {"image": loss_image, "feature": loss_feature}
            if self.discriminator is not None:
                with record_function("judge"):
                    judged_real = self.discriminator(images, codes)
                    judged_generated = self.discriminator(generated, codes)
                    loss_real = discriminator_loss(judged_real, REAL)
                    loss_generated = discriminator_loss(judged_generated, GENERATED)
                    loss_adversarial = adversarial_loss(judged_generated)
                loss_generator = loss_generator + w.adversarial * loss_adversarial
                loss_discriminator = loss_real + loss_generated
                losses |= {"adversarial": loss_adversarial, "discriminator": loss_discriminator}
            self.readback.start(average(losses))
            with record_function("learn"):
                if self.balance.generator_learns:
                    loss = loss_generator / self.accumulate
                    add_gradients(loss, self.generator, keep_graph=self.discriminator is not None)
                if self.discriminator is not None and self.balance.discriminator_learns:
                    add_gradients(loss_discriminator / self.accumulate, self.discriminator)

        with record_function("learn"):
            average_gradients(self.parameters())
            for network in filter(None, (self.generator, self.discriminator)):
                clip_gradients(network.parameters(), self.gradient_clip)
            optimizer.step()
            schedule_of(self).step()
            if self.average is not None and self.balance.generator_learns:
                self.average.update_parameters(self.generator)
        self.note(self.readback.finish())

    def encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """images (N, 3, H, W) -> codes (N, *code_shape) and comparator features {layer: (N, ...)}: one pass of the
        network where E and C are the same. Neither carries a gradient."""
        with torch.no_grad():
            if self.comparator is None:
                found = self.encoder(images, [self.layer, *self.comparator_layers])
                features = {layer: found[layer] for layer in self.comparator_layers}
                return found[self.layer].float(), features
            codes = self.encoder(images, [self.layer])[self.layer]
            return codes.float(), self.comparator(images, self.comparator_layers)

    def compare(self, images: Tensor) -> dict[str, Tensor]:
        """images (N, 3, H, W) -> comparator features {layer: (N, ...)}, differentiable."""
        return (self.comparator or self.encoder)(images, self.comparator_layers)

    def note(self, losses: dict[str, float]) -> None:
        """Takes an iteration's losses as numbers: who learns next, the log, and the end where one is not finite."""
        bad = [name for name, value in losses.items() if not abs(value) < float("inf")]
        if bad:
            raise NonFiniteLoss(self.global_step, losses)
        others = {"train/lr": schedule_of(self).get_last_lr()[0]}
        if self.discriminator is not None:
            others["balance/ratio"] = self.balance.update(losses["discriminator"], losses["adversarial"])
            others["balance/discriminator_learns"] = float(self.balance.discriminator_learns)
            others["balance/generator_learns"] = float(self.balance.generator_learns)
        log_step(self, self.global_step, {f"train/loss_{name}": value for name, value in losses.items()}, shown=True)
        log_step(self, self.global_step, others)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images = batch[0]
        codes, features = self.encode(images)
        generated = self.best_generator(codes).clamp(0, 1)
        found = self.encoder(generated, [self.layer])[self.layer].float()
        compared = self.compare(generated)
        error = (generated - images).square().flatten(1).mean(1)
        distance = torch.stack([_relative(compared[layer], features[layer]) for layer in features]).mean(0)
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        self.log("val/psnr", (-10 * error.clamp_min(1e-12).log10()).mean(), **log)
        self.log("val/feature_distance", distance.mean(), **log)
        self.log("val/code_error", _relative(found, codes).mean(), **log)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = [*_decay_groups(self.generator), *_decay_groups(self.discriminator)]
        optimizer = self.make_optimizer(groups)
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}

    def prior(self) -> Prior:
        """What has been trained so far, as a prior."""
        return Prior(self.best_generator, self.statistics, self.about, self.encoder_tensors)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(("encoder.", "comparator."))}
        checkpoint["balance"] = self.balance.state_dict()
        checkpoint["code_statistics"] = vars(self.statistics)
        checkpoint["feature_scales"] = self.feature_scales
        checkpoint["prior"] = {
            "about": self.about,
            "generator": self.generator.spec(),
            "encoder_tensors": self.encoder_tensors,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.balance.load_state_dict(checkpoint["balance"])
        self.statistics = UnitStatistics(**checkpoint["code_statistics"])
        self.feature_scales = checkpoint["feature_scales"]


class NonFiniteLoss(Exception):
    """A loss became NaN or infinite. step: the iteration; losses: all terms of it."""

    def __init__(self, step: int, losses: Mapping[str, float]) -> None:
        self.step, self.losses = step, dict(losses)
        super().__init__(f"step {step}: " + ", ".join(f"loss_{name}={value:.4g}" for name, value in losses.items()))


def add_gradients(loss: Tensor, network: nn.Module, keep_graph: bool = False) -> None:
    """Adds the loss's gradients for this network's parameters alone to those they have: G's loss passes through D and
    C, and leaves no gradient in them."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=keep_graph)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(gradient)
            continue
        # In the parameter's own memory layout: the fused Adam walks through memory, whatever the strides.
        same = gradient.stride() == parameter.stride()
        parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)


def _decay_groups(network: nn.Module | None) -> list[dict[str, Any]]:
    """Parameters with weight decay and without: none on upconvolutions (DeePSiM's definitions), nor on biases."""
    if network is None:
        return []
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            weight = name == "weight" and not isinstance(module, nn.ConvTranspose2d)
            (decayed if weight else others).append(parameter)
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]


def _ema(decay: float) -> Callable[..., None]:
    """An exponential average that follows faster at first, as the weights do: min(decay, (1 + t) / (10 + t))."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], seen: Tensor | int) -> None:
        rate = 1 - min(decay, (1 + int(seen)) / (10 + int(seen)))
        torch._foreach_lerp_(list(averaged), list(current), rate)

    return update


def _relative(a: Tensor, b: Tensor) -> Tensor:
    """|a - b| / |b| of each of N: (N,)."""
    a, b = a.float().flatten(1), b.float().flatten(1)
    return (a - b).norm(dim=1) / b.norm(dim=1).clamp_min(1e-12)
