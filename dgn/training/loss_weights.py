"""How the three losses are combined: by fixed weights (the paper), or by their shares of the gradient at the image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.training.balance import Balance
from dgn.training.distributed import average

LOSSES = ("image", "feature", "adversarial")
PIXEL_LOSSES = ("l1", "l2")
LEAST = 1 / 3
"""The least part of their shares that image and feature losses keep, however little codes say of pixels."""


@dataclass
class Combination(ABC):
    """How the losses of G are combined, and when D and the adversarial loss take part.

    Args:
        image: The weight or the share of the image loss; 0 leaves a loss out.
        feature: That of the feature loss.
        adversarial: That of the adversarial loss. 0 trains without a discriminator.
        raw_features: Use the features unscaled, as the paper does with pool5, and not scaled to the variance of
            CaffeNet's pool5.
        balance: Decides when D and G learn; None: both always learn.
        pixel: l2: squared differences of pixels (the paper); l1: absolute ones, on the same scale.
        adversarial_start: The fraction of the run after which D is trained.
        adversarial_ramp: The fraction of the run over which the adversarial loss then rises to its weight or share.

    Raises:
        UserError: If a value is out of its range, or all losses are left out.
    """

    image: float
    feature: float
    adversarial: float
    raw_features: bool = False
    balance: Balance | None = None
    pixel: str = "l2"
    adversarial_start: float = 0.0
    adversarial_ramp: float = 0.0

    def __post_init__(self) -> None:
        for name in LOSSES:
            weight = getattr(self, name)
            if not 0 <= weight < float("inf"):
                raise UserError(f"loss.{name}={weight} must be a number >= 0 (0 leaves the loss out)")
        if self.image == self.feature == self.adversarial == 0:
            raise UserError("loss.image, loss.feature and loss.adversarial are all 0: there is nothing to learn")
        if self.image == self.feature == 0 and self.adversarial_start > 0:
            raise UserError("loss.adversarial_start > 0 needs another loss to begin with; loss.image and feature are 0")
        if self.pixel not in PIXEL_LOSSES:
            raise UserError(f"loss.pixel={self.pixel}: give one of {', '.join(PIXEL_LOSSES)}")
        for name in ("adversarial_start", "adversarial_ramp"):
            fraction = getattr(self, name)
            if not 0 <= fraction <= 1:
                raise UserError(f"loss.{name}={fraction} must be a fraction of the run, from 0 to 1")

    @property
    def asks_explained(self) -> bool:
        """Whether the losses depend on how much codes say of pixels (`for_codes`)."""
        return False

    @property
    def adversarial_leads(self) -> bool:
        """Whether the adversarial loss is known to have the largest share of the gradient."""
        return False

    def for_codes(self, explained: float | None) -> Self:
        """Returns the losses for codes that explain this share of the variance of pixels (None: not known).

        `dgn.training.explained` measures it.
        """
        return self

    @abstractmethod
    def weigh(self, losses: Mapping[str, Tensor], generated: Tensor, step: int) -> Mapping[str, float]:
        """Returns the weight of each loss, that of the adversarial one after its ramp.

        Args:
            losses: {name of `LOSSES`: scalar}; those without a weight may be missing.
            generated: (N, 3, H, W), from which the losses were computed.
            step: The iteration.
        """

    def combine(self, losses: Mapping[str, Tensor], generated: Tensor, step: int, ramp: float) -> Tensor:
        """Returns the loss of G: the weighted sum. Args: see `weigh`; ramp: factor of the adversarial loss, 0 to 1."""
        weights = dict(self.weigh(losses, generated, step))
        if "adversarial" in weights:
            weights["adversarial"] *= ramp
        weighted = [weights[name] * losses[name] for name in LOSSES if name in losses]
        return sum(weighted[1:], weighted[0])

    def adversarial_factor(self, step: int, max_steps: int) -> float | None:
        """Returns the factor of the adversarial loss at a step of a run, in (0, 1]; None before D is trained.

        Without a length (max_steps < 1), all begins at once.
        """
        since = step - self.adversarial_start * max(0, max_steps)
        if since < 0:
            return None
        length = self.adversarial_ramp * max(0, max_steps)
        return 1.0 if length <= 0 else min(1.0, (since + 1) / length)

    def fresh(self) -> Self:
        """Returns the same settings with the state of a run that has not begun."""
        return replace(self, balance=self.balance and replace(self.balance))

    def factors(self) -> dict[str, float]:
        """Returns the present factor of each loss, for logs; {} if they are fixed."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - fixed weights have no state
        pass


@dataclass
class LossWeights(Combination):
    """Fixed weights: L = image * L_img + feature * L_feat + adversarial * L_adv (`dgn.training.losses`).

    The defaults are the paper's. Args: see `Combination`.
    """

    image: float = 2e-6
    feature: float = 0.01
    adversarial: float = 100.0
    balance: Balance | None = field(default_factory=Balance)

    def weigh(self, losses: Mapping[str, Tensor], generated: Tensor, step: int) -> Mapping[str, float]:
        return {"image": self.image, "feature": self.feature, "adversarial": self.adversarial}


@dataclass
class LossShares(Combination):
    """Weights that give each loss its share of the gradient at the generated images.

        L = sum over k of (share_k / |dL_k / dG(y)|) * L_k

    with the root mean square over images of the gradient's norm. So one set of shares serves any comparator, layer and
    image size. The norms are measured every `every` steps and smoothed. VQGAN (Esser et al. 2021) weighs its
    adversarial loss likewise, at G's last layer.

    Where codes say little of their images, image and feature losses hold G at the blur of all images with the code. So
    codes that explain less of the pixels' variance than `explained` give part of these two shares to D: both are
    multiplied by (the explained share) / `explained`, but at least by `LEAST`.

    Args: see `Combination`; further:
        explained: The share of the variance of pixels, as `dgn.training.explained` measures it, from which on the
            shares stand as they are. None: they always do.
        every: Steps between two measurements; each costs a backward pass of C and D per loss.
        smoothing: Weight of the earlier measurements in the (geometric) average.
    """

    image: float = 0.3
    feature: float = 0.4
    adversarial: float = 0.3
    pixel: str = "l1"
    adversarial_start: float = 0.1
    adversarial_ramp: float = 0.1
    explained: float | None = 0.45
    every: int = 25
    smoothing: float = 0.5
    norms: dict[str, float] = field(default_factory=dict)
    measured_at: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every < 1:
            raise UserError(f"loss.every={self.every} must be at least 1")
        if not 0 <= self.smoothing < 1:
            raise UserError(f"loss.smoothing={self.smoothing} must be at least 0 and less than 1")
        if self.explained is not None and not 0 < self.explained <= 1:
            raise UserError(
                f"loss.explained={self.explained} must be a share of the variance, above 0 and up to 1, or null"
            )

    @property
    def asks_explained(self) -> bool:
        return self.explained is not None and self.adversarial > 0 and self.image + self.feature > 0

    @property
    def adversarial_leads(self) -> bool:
        return self.adversarial > max(self.image, self.feature)

    def for_codes(self, explained: float | None) -> Self:
        if explained is None or self.explained is None or not self.asks_explained:
            return self
        kept = min(1.0, max(LEAST, explained / self.explained))
        given = (1 - kept) * (self.image + self.feature)
        image, feature = kept * self.image, kept * self.feature
        return replace(self, image=image, feature=feature, adversarial=self.adversarial + given, explained=None)

    def weigh(self, losses: Mapping[str, Tensor], generated: Tensor, step: int) -> Mapping[str, float]:
        self._measure(losses, generated, step)
        return self.factors()

    def _measure(self, losses: Mapping[str, Tensor], generated: Tensor, step: int) -> None:
        regular = step % self.every == 0 and step != self.measured_at  # once, of several parts of a batch
        due = [name for name in losses if regular or name not in self.norms]
        if not due:
            return
        self.measured_at = step
        # A loss is a mean over N images. Times N, its gradient's square is the mean over images, which does not depend
        # on N, nor on the number of processes.
        squares = {}
        for name in due:
            gradient = torch.autograd.grad(losses[name], generated, retain_graph=True)[0]
            squares[name] = gradient.float().square().sum() * len(generated)
        for name, square in average(squares).items():
            value, earlier = max(float(square) ** 0.5, 1e-12), self.norms.get(name)
            self.norms[name] = value if earlier is None else earlier**self.smoothing * value ** (1 - self.smoothing)

    def factors(self) -> dict[str, float]:
        return {name: getattr(self, name) / norm for name, norm in self.norms.items()}

    def fresh(self) -> Self:
        return replace(super().fresh(), norms={}, measured_at=-1)

    def state_dict(self) -> dict[str, Any]:
        return {"norms": dict(self.norms)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.norms = dict(state.get("norms", {}))
