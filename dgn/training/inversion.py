"""Inversion: training G_l to invert layer l of E, against D (Dosovitskiy & Brox 2016, section 3).

One step follows the algorithm: encode, generate, compare, judge, learn. With several processes, each takes its share
of the batch. Losses and gradients are averaged over the processes before they are used, so that all processes agree on
which networks learn and on every weight. With `accumulate`, each process takes its share in parts, one after another,
and learns from the means over the parts.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.profiler import record_function

from dgn.errors import UserError
from dgn.networks.critic import Critic
from dgn.networks.generator_base import Generator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.adversarial import Adversarial, CrossEntropy, gradient_penalty
from dgn.training.code_buffer import CodeBuffer
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.distributed import average, average_gradients
from dgn.training.gradients import add_gradients, decay_groups
from dgn.training.loss_weights import Combination, LossShares, LossWeights
from dgn.training.losses import absolute_image_loss, feature_loss, image_loss, psnr, relative_distance, relative_error
from dgn.training.networks import Networks
from dgn.training.randomness import seed_step
from dgn.training.readback import Readback
from dgn.training.schedules import get_optimizer, get_schedule
from dgn.training.step_log import log_step
from dgn.training.weight_average import WeightAverage

__all__ = ["Inversion", "LossShares", "LossWeights", "Networks", "NonFiniteLoss", "add_gradients"]

Optimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
Shift = tuple[int, int]
NO_SHIFT: Shift = (0, 0)


class Inversion(pl.LightningModule):
    """LightningModule that trains G and D.

    One Adam holds the parameters of G and D. A network that is frozen in a step has no gradients, and Adam skips its
    parameters. So the trainer's global_step is the number of iterations.

    Args:
        networks: E, G, D and C.
        statistics: Statistics of the codes over real images, saved in every checkpoint.
        optimizer: Factory of the optimizer: parameter groups -> optimizer.
        schedule: Factory of the learning-rate schedule: optimizer -> schedule.
        weights: How the losses are combined (None: the paper's weights).
        adversarial: The form of the adversarial loss (None: the paper's cross entropy).
        code_noise: Noise on the codes that G is trained on (None: none, as in the paper).
        augmentation: Random changes of the images that D sees (None: none, as in the paper).
        comparator_shift: C sees both images shifted by up to so many pixels (0: not shifted, as in the paper).
        max_steps: The length of the run, of which weights.adversarial_start and adversarial_ramp are fractions.
        ema_decay: Decay of the average of G's weights that the prior holds (0: no average, the prior holds G).
        seed: Seed of D's dropout, which depends on (seed, step): a resumed run draws the same numbers as an
            uninterrupted one, and several processes the same as one.
        compile: Use torch.compile for G and D.
        accumulate: The number of equal parts of a batch whose gradients are summed: the same step as without, with the
            memory of one part (no network that is trained here has batch normalization).
        gradient_clip: The largest norm of G's gradients, and of D's (None: no limit).
        discriminator_update: "joint": the gradients of D and G come from the same passes of D, and both are updated
            together. "before": D is updated before the gradient of G is computed, as in the published loop; then the
            updated D judges again.
        about: The metadata of the prior (`dgn.prior.Prior`), saved in every checkpoint, so that each is a prior too.
        encoder_tensors: The weights of E if the prior carries them, saved in every checkpoint too.

    Raises:
        UserError: If discriminator_update is unknown, or "before" is combined with accumulate > 1.
    """

    code_std: Tensor
    codes: CodeBuffer | None = None
    held_out_codes: CodeBuffer | None = None
    strict_loading = False  # E and C are frozen, and not in the checkpoints.

    def __init__(
        self,
        networks: Networks,
        statistics: UnitStatistics,
        optimizer: Optimizer,
        schedule: Schedule,
        weights: Combination | None = None,
        max_steps: int = 0,
        ema_decay: float = 0.999,
        seed: int = 0,
        compile: bool = False,
        accumulate: int = 1,
        gradient_clip: float | None = None,
        discriminator_update: str = "joint",
        adversarial: Adversarial | None = None,
        code_noise: CodeNoise | None = None,
        augmentation: DifferentiableAugmentation | None = None,
        comparator_shift: int = 0,
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
        self.weights = (weights or LossWeights()).fresh()
        self.adversarial, self.code_noise = adversarial or CrossEntropy(), code_noise or CodeNoise()
        self.comparator_shift = comparator_shift
        self.augmentation = augmentation or DifferentiableAugmentation()
        self.discriminator = networks.discriminator if self.weights.adversarial > 0 else None
        judged_layers = () if self.discriminator is None else self.discriminator.layers
        self.feature_layers = list(dict.fromkeys([*self.comparator_layers, *judged_layers]))
        self.statistics = statistics
        self.register_buffer("code_std", statistics.std.clone(), persistent=False)
        self.rectified = statistics.rectified
        self.generator.set_code_statistics(statistics.mean, statistics.std)
        self.max_steps = max_steps
        self.average = WeightAverage(self.generator, ema_decay) if ema_decay else None
        self.balance = self.weights.balance
        if discriminator_update not in ("joint", "before"):
            raise UserError(f"discriminator.update={discriminator_update}: give joint or before")
        if discriminator_update == "before" and accumulate > 1:
            raise UserError(
                f"accumulate={accumulate} with discriminator.update=before: D is updated before the other parts of the "
                "batch are seen; give accumulate=1 or discriminator.update=joint"
            )
        self.discriminator_update = discriminator_update
        self.seed, self.accumulate, self.gradient_clip = seed, accumulate, gradient_clip
        self.make_optimizer, self.make_schedule = optimizer, schedule
        if compile:  # in place, so that the names in a checkpoint stay the same
            for network in filter(None, (self.generator, self.discriminator)):
                network.compile()
        self.readback = Readback()

    def keep_codes(self, count: int) -> None:
        """Keeps the last `count` codes for a code model, and those of validation, if principal axes are known.

        They are saved in every checkpoint.
        """
        axes = self.statistics.principal
        if axes is not None and count:
            self.codes, self.held_out_codes = CodeBuffer(axes, count), CodeBuffer(axes, count, of_all=False)

    @property
    def best_generator(self) -> Generator:
        """The generator of the prior: the averaged one, or the current one if there is no average."""
        return cast(Generator, self.average.module) if self.average is not None else self.generator

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        seed_step(self.seed, self.global_step)
        optimizer = get_optimizer(self)
        optimizer.zero_grad(set_to_none=True)
        ramp = self.ramp()
        generator_learns, discriminator_learns = self.learners(ramp)
        jointly = discriminator_learns and self.discriminator_update == "joint"
        for (images,) in parts(batch[:1], self.accumulate):
            with record_function("encode"):
                shift = self.draw_shift()
                codes, features = self.encode(images, shift)
                if self.codes is not None:
                    self.codes.add(codes)
                codes = self.noisy(codes)
            with record_function("generate"):
                generated = self.generator(codes)
            with record_function("compare"):
                generated_features = self.compare(generated, shift)
                losses, measured = self.compared(images, generated, features, generated_features)
            if ramp is not None:
                assert self.discriminator is not None  # else there is no ramp
                with record_function("judge"):
                    judge = partial(self.discriminator.judge, codes=self.generator.normalized(codes))
                    seen = self.seen(self.discriminator, images, generated, features, generated_features)
                    scores = judge(*seen)
                    loss_discriminator = self.adversarial.discriminator(*scores)
                    if discriminator_learns and self.adversarial.penalty > 0:
                        loss_discriminator = loss_discriminator + gradient_penalty(
                            judge, *seen, self.adversarial.penalty
                        )
                    if discriminator_learns and not jointly:
                        self.update_discriminator(self.discriminator, loss_discriminator)
                        scores = judge(*seen)
                    losses["adversarial"] = self.adversarial.generator(*scores)
                measured |= {"loss_adversarial": losses["adversarial"], "loss_discriminator": loss_discriminator}
            self.readback.start(average(measured))
            with record_function("learn"):
                if generator_learns:
                    loss = self.weights.combine(losses, generated, self.global_step, ramp or 0.0)
                    add_gradients(loss / self.accumulate, self.generator, keep_graph=jointly)
                if self.discriminator is not None and jointly:
                    add_gradients(loss_discriminator / self.accumulate, self.discriminator)

        with record_function("learn"):
            average_gradients(self.parameters())
            for network in filter(None, (self.generator, self.discriminator)):
                clip_gradients(network.parameters(), self.gradient_clip)
            optimizer.step()
            get_schedule(self).step()
            if self.average is not None and generator_learns:
                self.average.update(self.generator)
        self.note(self.readback.finish())

    def encode(self, images: Tensor, shift: Shift = NO_SHIFT) -> tuple[Tensor, dict[str, Tensor]]:
        """Maps images (N, 3, H, W) to codes (N, *code_shape) and features {layer: (N, ...)} for the losses and D.

        If E and C are the same network, this is a single pass, unless C sees the images shifted. Neither output carries
        a gradient.
        """
        with torch.no_grad():
            if self.comparator is None and shift == NO_SHIFT:
                activations = self.encoder(images, [self.layer, *self.feature_layers])
                features = {layer: activations[layer] for layer in self.feature_layers}
                return activations[self.layer].float(), features
            codes = self.encoder(images, [self.layer])[self.layer]
            return codes.float(), self.compare(images, shift)

    def noisy(self, codes: Tensor) -> Tensor:
        """Returns the codes (N, *code_shape) that G is trained on: with noise, if `code_noise` says so."""
        return self.code_noise(codes, self.code_std, self.rectified)

    def compare(self, images: Tensor, shift: Shift = NO_SHIFT) -> dict[str, Tensor]:
        """Maps images (N, 3, H, W), cyclically shifted, to comparator features {layer: (N, ...)}, differentiably."""
        if shift != NO_SHIFT:
            images = images.roll(shift, (2, 3))
        return (self.comparator or self.encoder)(images, self.feature_layers)

    def draw_shift(self) -> Shift:
        """Returns the rows and columns by which C sees the images of this step shifted; all processes draw the same."""
        if self.comparator_shift == 0:
            return NO_SHIFT
        rows, columns = torch.randint(0, self.comparator_shift + 1, (2,)).tolist()
        return rows, columns

    def compared(
        self, images: Tensor, generated: Tensor, features: dict[str, Tensor], generated_features: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the image and feature losses that are used, {name: scalar}, and what is logged of them."""
        real = {layer: features[layer] for layer in self.comparator_layers}
        pixels = image_loss if self.weights.pixel == "l2" else absolute_image_loss
        losses = {
            "image": pixels(generated, images),
            "feature": feature_loss(generated_features, real, self.feature_scales),
        }
        measured = {f"loss_{name}": loss for name, loss in losses.items()}
        measured["squared_error"] = (generated.detach() - images).square().mean()
        measured["feature_distance"] = relative_distance(generated_features, real).mean()
        return {name: loss for name, loss in losses.items() if getattr(self.weights, name) > 0}, measured

    def seen(
        self,
        discriminator: Critic,
        images: Tensor,
        generated: Tensor,
        features: dict[str, Tensor],
        generated_features: dict[str, Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns what D sees of the real and of the generated images.

        With augmentation, a D of features needs those of the changed images: two more passes of C.
        """
        if self.augmentation.changes:
            images, generated = self.augmentation(images, generated)
            if discriminator.layers:
                with torch.no_grad():
                    features = self.compare(images)
                generated_features = self.compare(generated)
        return discriminator.seen(images, features), discriminator.seen(generated, generated_features)

    def ramp(self) -> float | None:
        """Returns the factor of the adversarial loss in this step, from 0 to 1; None if D does not take part."""
        if self.discriminator is None:
            return None
        return self.weights.adversarial_factor(self.global_step, self.max_steps)

    def learners(self, ramp: float | None) -> tuple[bool, bool]:
        """Returns whether G and D learn in this step."""
        if ramp is None:
            return True, False
        return (self.balance.generator_learns, self.balance.discriminator_learns) if self.balance else (True, True)

    def update_discriminator(self, discriminator: Critic, loss: Tensor) -> None:
        """Updates D alone, before the gradient of G is computed (discriminator.update=before).

        Lightning's global_step does not count this update, so that it remains the number of iterations.
        """
        optimizer = cast(torch.optim.Optimizer, self.optimizers(use_pl_optimizer=False))
        add_gradients(loss, discriminator)
        average_gradients(discriminator.parameters())
        clip_gradients(discriminator.parameters(), self.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def note(self, measured: dict[str, float]) -> None:
        """Decides from the losses of an iteration which networks learn next, and logs the losses.

        Raises:
            NonFiniteLoss: If a loss is not finite.
        """
        if not all(math.isfinite(value) for value in measured.values()):
            raise NonFiniteLoss(self.global_step, measured)
        others = {"train/lr": get_schedule(self).get_last_lr()[0]}
        others |= {f"weights/{name}": factor for name, factor in self.weights.factors().items()}
        shown = {"train/psnr": psnr(measured["squared_error"])}
        names = ["feature_distance"]
        if "loss_discriminator" in measured:
            names += ["loss_adversarial", "loss_discriminator"]
        if self.balance is not None and "loss_discriminator" in measured:
            others["balance/ratio"] = self.balance.update(measured["loss_discriminator"], measured["loss_adversarial"])
            others["balance/discriminator_learns"] = float(self.balance.discriminator_learns)
            others["balance/generator_learns"] = float(self.balance.generator_learns)
        shown |= {f"train/{name}": measured[name] for name in names}
        others |= {f"train/{name}": value for name, value in measured.items() if name not in names}
        log_step(self, self.global_step, shown, shown=True)
        log_step(self, self.global_step, others)

    def on_validation_epoch_start(self) -> None:
        if self.held_out_codes is not None:
            self.held_out_codes.clear()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images = batch[0]
        codes, features = self.encode(images)
        if self.held_out_codes is not None:
            self.held_out_codes.add(codes)
        generated = self.best_generator(codes).clamp(0, 1)
        generated_codes = self.encoder(generated, [self.layer])[self.layer].float()
        compared = self.compare(generated)
        error = (generated - images).square().flatten(1).mean(1)
        distance = relative_distance(compared, features)
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        self.log("val/psnr", (-10 * error.clamp_min(1e-12).log10()).mean(), **log)
        self.log("val/feature_distance", distance.mean(), **log)
        self.log("val/code_error", relative_error(generated_codes, codes).mean(), **log)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = [
            *decay_groups(self.generator, spared=self.generator.upconvolutions()),
            *decay_groups(self.discriminator),
        ]
        optimizer = self.make_optimizer(groups)
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}

    def prior(self) -> Prior:
        """Returns the prior trained so far."""
        return Prior(self.best_generator, self.statistics, self.about, self.encoder_tensors)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(("encoder.", "comparator."))}
        checkpoint["balance"] = self.balance.state_dict() if self.balance else {}
        checkpoint["loss"] = self.weights.state_dict()
        checkpoint["code_statistics"] = vars(self.statistics)
        checkpoint["feature_scales"] = self.feature_scales
        if self.codes is not None:
            checkpoint["codes"] = self.codes.coordinates
        checkpoint["prior"] = {
            "about": self.about,
            "generator": self.generator.spec(),
            "encoder_tensors": self.encoder_tensors,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        if "average.n_averaged" in state:  # the name in older checkpoints, of torch's AveragedModel
            state["average._extra_state"] = state.pop("average.n_averaged")
        if self.balance is not None:
            self.balance.load_state_dict(checkpoint["balance"])
        self.weights.load_state_dict(checkpoint.get("loss", {}))
        self.statistics = UnitStatistics(**checkpoint["code_statistics"])
        self.code_std.copy_(self.statistics.std)
        self.rectified = self.statistics.rectified
        self.feature_scales = checkpoint["feature_scales"]
        if self.codes is not None and "codes" in checkpoint:  # older checkpoints have none
            self.codes.coordinates = checkpoint["codes"]


class NonFiniteLoss(Exception):
    """A loss became NaN or infinite. step: the iteration; losses: {name: value} of all losses of that iteration."""

    def __init__(self, step: int, losses: Mapping[str, float]) -> None:
        self.step, self.losses = step, dict(losses)
        super().__init__(f"step {step}: " + ", ".join(f"{name}={value:.4g}" for name, value in losses.items()))
