"""The weights of the three losses."""

from dataclasses import dataclass, field

from dgn.errors import UserError
from dgn.training.balance import Balance


@dataclass(frozen=True)
class LossWeights:
    """The weights of L = image * L_img + feature * L_feat + adversarial * L_adv (`dgn.training.losses`).

    Args:
        image: Weight of L_img. The defaults of the weights are the paper's.
        feature: Weight of L_feat.
        adversarial: Weight of L_adv. 0 trains without a discriminator.
        raw_features: Use the features unscaled, as the paper does with pool5, and not scaled to the variance of
            CaffeNet's pool5.
        balance: Decides when D and G learn.

    Raises:
        UserError: If a weight is negative or not finite, or all are 0.
    """

    image: float = 2e-6
    feature: float = 0.01
    adversarial: float = 100.0
    raw_features: bool = False
    balance: Balance = field(default_factory=Balance)

    def __post_init__(self) -> None:
        for name in ("image", "feature", "adversarial"):
            weight = getattr(self, name)
            if not 0 <= weight < float("inf"):
                raise UserError(f"loss.{name}={weight} must be a number >= 0 (0 leaves the loss out)")
        if self.image == self.feature == self.adversarial == 0:
            raise UserError("loss.image, loss.feature and loss.adversarial are all 0: there is nothing to learn")
