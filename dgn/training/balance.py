"""Which network learns: the rule of the published training loop that balances generator and discriminator."""

from collections.abc import Mapping
from dataclasses import dataclass

from dgn.errors import UserError


@dataclass
class Balance:
    """Decides after each iteration which networks learn, from r = (L_D(real) + L_D(generated)) / L_adv.

    r < 0.1 freezes D, and G learns. A frozen D learns again once r > 0.5. r > 10 freezes G, and D learns, until the
    next switch. The gap between 0.1 and 0.5 is a hysteresis in which nothing changes.

    Args:
        discriminator_wins: Ratio below which D is frozen; 0.1 in the published loop.
        discriminator_returns: Ratio above which a frozen D learns again; 0.5 in the published loop.
        generator_wins: Ratio above which G is frozen; 10 in the published loop.
        generator_learns: Whether G learns in the next iteration.
        discriminator_learns: Whether D learns in the next iteration.

    Raises:
        UserError: If the thresholds are not in ascending order.
    """

    discriminator_wins: float = 0.1
    discriminator_returns: float = 0.5
    generator_wins: float = 10.0
    generator_learns: bool = True
    discriminator_learns: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.discriminator_wins <= self.discriminator_returns <= self.generator_wins:
            raise UserError(
                f"loss.balance: discriminator_wins={self.discriminator_wins}, discriminator_returns="
                f"{self.discriminator_returns}, generator_wins={self.generator_wins} must not fall from one to the "
                "next; the paper's are 0.1, 0.5, 10"
            )

    def update(self, loss_discriminator: float, loss_adversarial: float) -> float:
        """Updates which networks learn.

        Args:
            loss_discriminator: L_D(real) + L_D(generated) of the iteration.
            loss_adversarial: L_adv of the iteration.

        Returns:
            Their ratio r.
        """
        ratio = loss_discriminator / max(loss_adversarial, 1e-12)
        if ratio < self.discriminator_wins and self.discriminator_learns:
            self.discriminator_learns, self.generator_learns = False, True
        elif ratio > self.discriminator_returns and not self.discriminator_learns:
            self.discriminator_learns, self.generator_learns = True, True
        if ratio > self.generator_wins and self.generator_learns:
            self.generator_learns, self.discriminator_learns = False, True
        return ratio

    def state_dict(self) -> dict[str, bool]:
        """Returns which networks learn; the thresholds are settings and not part of the state."""
        return {"generator_learns": self.generator_learns, "discriminator_learns": self.discriminator_learns}

    def load_state_dict(self, state: Mapping[str, float | bool]) -> None:
        self.generator_learns = bool(state["generator_learns"])
        self.discriminator_learns = bool(state["discriminator_learns"])
