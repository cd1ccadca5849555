"""How a training runs, as values: what all trainings have in common, and what the training of a prior adds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from dgn.errors import UserError
from dgn.training.adversarial import Adversarial, CrossEntropy
from dgn.training.code_noise import CodeNoise
from dgn.training.differentiable_augmentation import DifferentiableAugmentation
from dgn.training.loss_weights import Combination, LossWeights
from dgn.training.progressive import Progressive

Optimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


@dataclass(frozen=True)
class Learning:
    """How weights are learned from gradients, whatever the network and the loss.

    Attributes:
        make_optimizer: Parameter groups -> optimizer.
        make_schedule: Optimizer -> learning-rate schedule.
        seed: Seed of the random numbers of a step (dropout, noise, augmentation), which depend on (seed, step): a
            resumed run draws the same numbers as an uninterrupted one.
        accumulate: The number of equal parts of a batch whose gradients are summed: the same step as without, with the
            memory of one part.
        gradient_clip: The largest norm of the gradients, of each network that is trained (None: no limit).
    """

    make_optimizer: Optimizer
    make_schedule: Schedule
    seed: int = 0
    accumulate: int = 1
    gradient_clip: float | None = None


@dataclass(frozen=True)
class InversionSettings:
    """How G and D are trained (`dgn.training.inversion.Inversion`). The defaults are the paper's, but for ema_decay.

    Attributes:
        learning: How weights are learned from gradients.
        max_steps: The length of the run, of which weights.adversarial_start and adversarial_ramp are fractions.
        weights: How the losses are combined, and how D and G are balanced.
        adversarial: The form of the adversarial loss.
        code_noise: Noise on the codes that G is trained on.
        augmentation: Random changes of the images that D sees.
        comparator_shift: C sees both images of a pair shifted by up to so many pixels.
        progressive: Which steps are at half the side.
        discriminator_update: "joint": the gradients of D and G come from the same passes of D, and both are updated
            together. "before": D is updated before the gradient of G is computed, as in the published loop; then the
            updated D judges again.
        fan_in_limit: Layers of G and D with more inputs learn at a smaller rate (`parameter_groups`). None: none do.
        ema_decay: Decay of the average of G's weights that the prior holds (0: no average, the prior holds G).
        compile: Use torch.compile for G and D.

    Raises:
        UserError: If discriminator_update is unknown, or "before" is combined with accumulate > 1.
    """

    learning: Learning
    max_steps: int = 0
    weights: Combination = field(default_factory=LossWeights)
    adversarial: Adversarial = field(default_factory=CrossEntropy)
    code_noise: CodeNoise = field(default_factory=CodeNoise)
    augmentation: DifferentiableAugmentation = field(default_factory=DifferentiableAugmentation)
    comparator_shift: int = 0
    progressive: Progressive = field(default_factory=Progressive)
    discriminator_update: str = "joint"
    fan_in_limit: int | None = None
    ema_decay: float = 0.998
    compile: bool = False

    def __post_init__(self) -> None:
        limit = self.fan_in_limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UserError(f"fan_in_limit={limit}: give a number of inputs, at least 1, or null")
        if self.discriminator_update not in ("joint", "before"):
            raise UserError(f"discriminator.update={self.discriminator_update}: give joint or before")
        if self.discriminator_update == "before" and self.learning.accumulate > 1:
            raise UserError(
                f"accumulate={self.learning.accumulate} with discriminator.update=before: D is updated before the "
                "other parts of the batch are seen; give accumulate=1 or discriminator.update=joint"
            )
