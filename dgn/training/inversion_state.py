"""The state of an inversion: its networks and settings, the optimizer, the checkpoints, and the prior that it trains.

The algorithm is in `dgn.training.inversion`.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.generator_base import Generator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics
from dgn.training.adversarial import Adversarial, CrossEntropy
from dgn.training.code_buffer import CodeBuffer
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.gradients import decay_groups
from dgn.training.loss_weights import Combination, LossWeights
from dgn.training.networks import Networks
from dgn.training.readback import Readback
from dgn.training.weight_average import WeightAverage

Optimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


class InversionState(pl.LightningModule):
    """The networks, settings and state of a training.

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
    code_cache: Callable[..., tuple[Tensor, dict[str, Tensor]]] | None = None
    """Gives codes and features for rows of views (`dgn.training.code_cache.CodeCache`); None: they are computed."""
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
