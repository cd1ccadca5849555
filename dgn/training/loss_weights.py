"""How the three losses are combined: by fixed weights (the paper), or by their shares of the gradient at the image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.training.balance import Balance
from dgn.training.distributed import average

LOSSES = ("image", "feature", "adversarial")
PIXEL_LOSSES = ("l1", "l2")


class Combination(Protocol):
    """Combines the losses of G.

    Attributes:
        image, feature, adversarial: The weight or the share of each loss; 0 leaves it out.
        pixel: The form of the image loss, l1 or l2.
        adversarial_start, adversarial_ramp: See `AdversarialStart`.
        raw_features: Use the features unscaled.
        balance: Decides when D and G learn; None: both always learn.
    """

    image: float
    feature: float
    adversarial: float
    pixel: str
    adversarial_start: float
    adversarial_ramp: float
    raw_features: bool
    balance: Balance | None

    def combine(self, losses: Mapping[str, Tensor], generated: Tensor, step: int, ramp: float) -> Tensor:
        """Returns the loss of G.

        Args:
            losses: {name of `LOSSES`: scalar}; those without a weight may be missing.
            generated: (N, 3, H, W), from which the losses were computed.
            step: The iteration.
            ramp: Factor of the adversarial loss, from 0 to 1.
        """
        ...

    def factors(self) -> dict[str, float]:
        """Returns the present factor of each loss, for logs."""
        ...

    def fresh(self) -> "Combination":
        """Returns a combination with the same settings, and the state of a run that has not begun."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class LossWeights:
    """The weights of L = image * L_img + feature * L_feat + adversarial * L_adv (`dgn.training.losses`).

    Args:
        image: Weight of L_img. The defaults of the weights are the paper's.
        feature: Weight of L_feat.
        adversarial: Weight of L_adv. 0 trains without a discriminator.
        raw_features: Use the features unscaled, as the paper does with pool5, and not scaled to the variance of
            CaffeNet's pool5.
        balance: Decides when D and G learn; None: both always learn.
        pixel: l2: squared differences of pixels (the paper); l1: absolute ones, on the same scale.
        adversarial_start: The fraction of the run after which D is trained.
        adversarial_ramp: The fraction of the run over which L_adv then rises to its weight.

    Raises:
        UserError: If a weight is negative or not finite, or all are 0.
    """

    image: float = 2e-6
    feature: float = 0.01
    adversarial: float = 100.0
    raw_features: bool = False
    balance: Balance | None = field(default_factory=Balance)
    pixel: str = "l2"
    adversarial_start: float = 0.0
    adversarial_ramp: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def combine(self, losses: Mapping[str, Tensor], generated: Tensor, step: int, ramp: float) -> Tensor:
        weighted = [self._weight(name, ramp) * losses[name] for name in LOSSES if name in losses]
        return sum(weighted[1:], weighted[0])

    def _weight(self, name: str, ramp: float) -> float:
        return self.adversarial * ramp if name == "adversarial" else float(getattr(self, name))

    def factors(self) -> dict[str, float]:
        return {}

    def fresh(self) -> "LossWeights":
        return replace(self, balance=self.balance and replace(self.balance))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


@dataclass
class LossShares:
    """Weights that give each loss its share of the gradient at the generated images.

        L = sum over k of (share_k / |dL_k / dG(y)|) * L_k

    with the root mean square over images of the gradient's norm. So one set of shares serves any comparator, layer and image size. The norms are measured every `every` steps and
    smoothed. VQGAN (Esser et al. 2021) weighs its adversarial loss likewise, at G's last layer.

    Args:
        image: Share of the image loss.
        feature: Share of the feature loss.
        adversarial: Share of the adversarial loss. 0 trains without a discriminator.
        raw_features: As in `LossWeights`.
        balance: As in `LossWeights`; None, as hinge heads need no balance.
        pixel: As in `LossWeights`.
        adversarial_start: As in `LossWeights`.
        adversarial_ramp: As in `LossWeights`.
        every: Steps between two measurements; each costs a backward pass of C and D per loss.
        smoothing: Weight of the earlier measurements in the average.

    Raises:
        UserError: If a share is negative or not finite, all are 0, or `every` or `smoothing` are out of range.
    """

    image: float = 0.4
    feature: float = 0.4
    adversarial: float = 0.2
    raw_features: bool = False
    balance: Balance | None = None
    pixel: str = "l1"
    adversarial_start: float = 0.1
    adversarial_ramp: float = 0.1
    every: int = 25
    smoothing: float = 0.5
    norms: dict[str, float] = field(default_factory=dict)
    measured_at: int = -1

    def __post_init__(self) -> None:
        _check(self)
        if self.every < 1:
            raise UserError(f"loss.every={self.every} must be at least 1")
        if not 0 <= self.smoothing < 1:
            raise UserError(f"loss.smoothing={self.smoothing} must be at least 0 and less than 1")

    def combine(self, losses: Mapping[str, Tensor], generated: Tensor, step: int, ramp: float) -> Tensor:
        self._measure(losses, generated, step)
        shares = {name: getattr(self, name) * (ramp if name == "adversarial" else 1.0) for name in losses}
        weighted = [shares[name] / self.norms[name] * losses[name] for name in losses]
        return sum(weighted[1:], weighted[0])

    def _measure(self, losses: Mapping[str, Tensor], generated: Tensor, step: int) -> None:
        regular = step % self.every == 0 and step != self.measured_at  # once, of several parts of a batch
        due = [name for name in losses if regular or name not in self.norms]
        if not due:
            return
        self.measured_at = step
        # A loss is a mean over N images. Times sqrt(N), its gradient's norm is the root mean square over images, which
        # does not depend on N, nor on the number of processes and parts.
        norms = {}
        for name in due:
            gradient = torch.autograd.grad(losses[name], generated, retain_graph=True)[0]
            norms[name] = gradient.float().norm() * len(generated) ** 0.5
        for name, norm in average(norms).items():
            value, earlier = max(float(norm), 1e-12), self.norms.get(name)
            self.norms[name] = value if earlier is None else earlier**self.smoothing * value ** (1 - self.smoothing)

    def factors(self) -> dict[str, float]:
        return {name: getattr(self, name) / norm for name, norm in self.norms.items()}

    def fresh(self) -> "LossShares":
        return replace(self, norms={}, measured_at=-1, balance=self.balance and replace(self.balance))

    def state_dict(self) -> dict[str, Any]:
        return {"norms": dict(self.norms)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.norms = dict(state.get("norms", {}))


@dataclass(frozen=True)
class AdversarialStart:
    """When the adversarial part begins: D learns from `start` on, and L_adv rises over `ramp` to its weight.

    Args:
        start: A fraction of the run.
        ramp: A fraction of the run.
    """

    start: float
    ramp: float

    def factor(self, step: int, max_steps: int) -> float | None:
        """Returns the factor of L_adv at a step, in (0, 1]; None before D learns."""
        since = step - self.start * max_steps
        if since < 0:
            return None
        length = self.ramp * max_steps
        return 1.0 if length <= 0 else min(1.0, (since + 1) / length)


def _check(loss: LossWeights | LossShares) -> None:
    for name in LOSSES:
        weight = getattr(loss, name)
        if not 0 <= weight < float("inf"):
            raise UserError(f"loss.{name}={weight} must be a number >= 0 (0 leaves the loss out)")
    if loss.image == loss.feature == loss.adversarial == 0:
        raise UserError("loss.image, loss.feature and loss.adversarial are all 0: there is nothing to learn")
    if loss.image == loss.feature == 0 and loss.adversarial_start > 0:
        raise UserError("loss.adversarial_start > 0 needs another loss to begin with; loss.image and feature are 0")
    if loss.pixel not in PIXEL_LOSSES:
        raise UserError(f"loss.pixel={loss.pixel}: give one of {', '.join(PIXEL_LOSSES)}")
    for name in ("adversarial_start", "adversarial_ramp"):
        fraction = getattr(loss, name)
        if not 0 <= fraction <= 1:
            raise UserError(f"loss.{name}={fraction} must be a fraction of the run, from 0 to 1")
