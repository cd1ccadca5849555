"""Inversion: training G_l to invert layer l of E, against D (Dosovitskiy & Brox 2016, section 3).

One step follows the algorithm: encode, generate, compare, judge, learn. With several processes, each takes its share
of the batch. Losses and gradients are averaged over the processes before they are used, so that all processes agree on
which networks learn and on every weight. With `accumulate`, each process takes its share in parts, one after another,
and learns from the means over the parts.
"""

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.profiler import record_function

from dgn.networks.critic import Critic
from dgn.networks.precision import at_least_float32
from dgn.training.accumulation import clip_gradients, parts
from dgn.training.adversarial import gradient_penalty
from dgn.training.distributed import average, average_gradients
from dgn.training.gradients import add_gradients
from dgn.training.inversion_state import InversionState
from dgn.training.losses import absolute_image_loss, feature_loss, image_loss, psnr, relative_distance, relative_error
from dgn.training.progressive import halved
from dgn.training.randomness import seed_step
from dgn.training.schedules import get_optimizer, get_schedule
from dgn.training.step_log import log_step

log = logging.getLogger(__name__)

Shift = tuple[int, int]
NO_SHIFT: Shift = (0, 0)


class Inversion(InversionState):
    """LightningModule that trains G and D. Args: see `InversionState`.

    One Adam holds the parameters of G and D. A network that is frozen in a step has no gradients, and Adam skips its
    parameters. So the trainer's global_step is the number of iterations.
    """

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        settings, learning = self.settings, self.settings.learning
        seed_step(learning.seed, self.global_step)
        optimizer = get_optimizer(self)
        optimizer.zero_grad(set_to_none=True)
        ramp, half = self.ramp(), settings.progressive.half(self.global_step, settings.max_steps)
        weights = self.half_weights if half else self.weights
        generator_learns, discriminator_learns = self.learners(ramp)
        jointly = discriminator_learns and settings.discriminator_update == "joint"
        for images, *rows in parts((batch[0], *batch[2:]), learning.accumulate):
            with record_function("encode"):
                shift = self.draw_shift()
                codes, features = self.encode(images, shift, half, *rows)
                if self.codes is not None:
                    self.codes.add(codes)
                codes, images = self.noisy(codes), halved(images) if half else images
            with record_function("generate"):
                generated = self.generator(codes, half)
            with record_function("compare"):
                generated_features = self.compare(generated, shift, half)
                losses, measured = self.compared(images, generated, features, generated_features, half)
            if ramp is not None:
                assert self.discriminator is not None  # else there is no ramp
                with record_function("judge"):
                    judge = partial(self.discriminator.judge, codes=self.generator.normalized(codes))
                    seen = self.seen(self.discriminator, images, generated, features, generated_features, half)
                    scores = judge(*seen)
                    loss_discriminator = settings.adversarial.discriminator(*scores)
                    if discriminator_learns and settings.adversarial.penalty > 0:
                        loss_discriminator = loss_discriminator + gradient_penalty(
                            judge, *seen, settings.adversarial.penalty
                        )
                    if discriminator_learns and not jointly:
                        self.update_discriminator(self.discriminator, loss_discriminator)
                        scores = judge(*seen)
                    losses["adversarial"] = settings.adversarial.generator(*scores)
                measured |= {"loss_adversarial": losses["adversarial"], "loss_discriminator": loss_discriminator}
            self.readback.start(average(measured))
            with record_function("learn"):
                if generator_learns:
                    loss = weights.combine(losses, generated, self.global_step, ramp or 0.0)
                    add_gradients(loss / learning.accumulate, self.generator, keep_graph=jointly)
                if self.discriminator is not None and jointly:
                    add_gradients(loss_discriminator / learning.accumulate, self.discriminator)

        with record_function("learn"):
            average_gradients(self.parameters())
            for network in filter(None, (self.generator, self.discriminator)):
                clip_gradients(network.parameters(), learning.gradient_clip)
            optimizer.step()
            get_schedule(self).step()
            if self.average is not None and generator_learns:
                self.average.update(self.generator)
        self.note(self.readback.finish(), half)

    def on_train_start(self) -> None:
        if self.settings.progressive.used:
            log.info(self.settings.progressive.words(self.generator.image_size, self.settings.max_steps))

    def rehearse(self, batch: tuple[Tensor, ...]) -> None:
        """Runs the networks forward and backward on images (N, 3, H, W), as a step does; to measure how long it takes.

        No parameter and no gradient changes; buffers do.
        """
        images = batch[0]
        shift = self.draw_shift()
        codes, features = self.encode(images, shift, False, *batch[2:])
        generated = self.generator(codes)
        generated_features = self.compare(generated, shift)
        losses, _ = self.compared(images, generated, features, generated_features)
        loss = sum(losses.values(), generated.mean())
        trained = list(self.generator.parameters())
        if self.discriminator is not None:
            seen = self.discriminator.seen(images, features), self.discriminator.seen(generated, generated_features)
            scores = self.discriminator.judge(*seen, codes=self.generator.normalized(codes))
            loss = loss + self.settings.adversarial.generator(*scores)
            trained += list(self.discriminator.parameters())
        torch.autograd.grad(loss, trained, allow_unused=True)

    def encode(
        self, images: Tensor, shift: Shift = NO_SHIFT, half: bool = False, rows: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Maps images (N, 3, H, W) to codes (N, *code_shape) and features {layer: (N, ...)} for the losses and D.

        If E and C are the same network, this is a single pass, unless C sees the images shifted or at half the side.
        Neither output carries a gradient. With data.cache=codes they are read for the rows (N,) of the images, as far
        as they are kept.
        """
        with torch.no_grad():
            seen = halved(images) if half else images  # by C
            if rows is not None and self.code_cache is not None:
                codes, features = self.code_cache(rows, images.device)
                kept = shift == NO_SHIFT and not half and set(self.feature_layers) <= set(features)
                return codes, features if kept else self.compare(seen, shift, half)
            if self.comparator is None and shift == NO_SHIFT and not half:
                activations = self.encoder(images, [self.layer, *self.feature_layers])
                features = {layer: activations[layer] for layer in self.feature_layers}
                return at_least_float32(activations[self.layer]), features
            codes = self.encoder(images, [self.layer])[self.layer]
            return at_least_float32(codes), self.compare(seen, shift, half)

    def noisy(self, codes: Tensor) -> Tensor:
        """Returns the codes (N, *code_shape) that G is trained on: with noise, if `code_noise` says so."""
        return self.settings.code_noise(codes, self.code_std, self.rectified)

    def compare(self, images: Tensor, shift: Shift = NO_SHIFT, half: bool = False) -> dict[str, Tensor]:
        """Maps images (N, 3, H, W), cyclically shifted, to comparator features {layer: (N, ...)}, differentiably.

        half: whether the images have half the side.
        """
        if shift != NO_SHIFT:
            images = images.roll(shift, (2, 3))
        return (self.comparator or self.encoder)(images, self.feature_layers, half=half)

    def draw_shift(self) -> Shift:
        """Returns the rows and columns by which C sees the images of this step shifted; all processes draw the same."""
        most = self.settings.comparator_shift
        if most == 0:
            return NO_SHIFT
        rows, columns = torch.randint(0, most + 1, (2,)).tolist()
        return rows, columns

    def compared(
        self,
        images: Tensor,
        generated: Tensor,
        features: dict[str, Tensor],
        generated_features: dict[str, Tensor],
        half: bool = False,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the image and feature losses that are used, {name: scalar}, and what is logged of them."""
        real = {layer: features[layer] for layer in self.comparator_layers}
        pixels = image_loss if self.weights.pixel == "l2" else absolute_image_loss
        losses = {
            "image": pixels(generated, images),
            "feature": feature_loss(generated_features, real, self.half_scales if half else self.feature_scales),
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
        half: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns what D sees of the real and of the generated images.

        With augmentation, a D of features needs those of the changed images: two more passes of C.
        """
        augmentation = self.settings.augmentation
        if augmentation.changes:
            images, generated = augmentation(images, generated)
            if discriminator.layers:
                with torch.no_grad():
                    features = self.compare(images, half=half)
                generated_features = self.compare(generated, half=half)
        return discriminator.seen(images, features), discriminator.seen(generated, generated_features)

    def ramp(self) -> float | None:
        """Returns the factor of the adversarial loss in this step, from 0 to 1; None if D does not take part."""
        if self.discriminator is None:
            return None
        return self.weights.adversarial_factor(self.global_step, self.settings.max_steps)

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
        clip_gradients(discriminator.parameters(), self.settings.learning.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def note(self, measured: dict[str, float], half: bool = False) -> None:
        """Decides from the losses of an iteration which networks learn next, and logs the losses.

        Args:
            measured: {name: value}.
            half: Whether the iteration was at half the side.

        Raises:
            NonFiniteLoss: If a loss is not finite.
        """
        if not all(math.isfinite(value) for value in measured.values()):
            raise NonFiniteLoss(self.global_step, measured)
        others = {"train/lr": max(get_schedule(self).get_last_lr())}
        weights = self.half_weights if half else self.weights
        others |= {f"weights/{name}": factor for name, factor in weights.factors().items()}
        if self.settings.progressive.used:
            others["train/half"] = float(half)
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
        generated_codes = at_least_float32(self.encoder(generated, [self.layer])[self.layer])
        compared = self.compare(generated)
        error = (generated - images).square().flatten(1).mean(1)
        distance = relative_distance(compared, features)
        log: dict[str, Any] = dict(on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        self.log("val/psnr", (-10 * error.clamp_min(1e-12).log10()).mean(), **log)
        self.log("val/feature_distance", distance.mean(), **log)
        self.log("val/code_error", relative_error(generated_codes, codes).mean(), **log)


class NonFiniteLoss(Exception):
    """A loss became NaN or infinite. step: the iteration; losses: {name: value} of all losses of that iteration."""

    def __init__(self, step: int, losses: Mapping[str, float]) -> None:
        self.step, self.losses = step, dict(losses)
        super().__init__(f"step {step}: " + ", ".join(f"{name}={value:.4g}" for name, value in losses.items()))
