"""Who learns: the balance rule between generator and discriminator of the published training loop."""

from dataclasses import asdict, dataclass


@dataclass
class Balance:
    """After each iteration, with r = (L_D(real) + L_D(generated)) / L_adv:

    r < 0.1 freezes D (and G learns); a frozen D learns again once r > 0.5; r > 10 freezes G (and D learns), until
    the next switch. The gap between 0.1 and 0.5 is the hysteresis: between them nothing changes.
    """

    discriminator_wins: float = 0.1
    discriminator_returns: float = 0.5
    generator_wins: float = 10.0
    generator_learns: bool = True
    discriminator_learns: bool = True

    def update(self, loss_discriminator: float, loss_adversarial: float) -> float:
        """Takes an iteration's losses, L_D(real) + L_D(generated) and L_adv; returns their ratio r."""
        ratio = loss_discriminator / max(loss_adversarial, 1e-12)
        if ratio < self.discriminator_wins and self.discriminator_learns:
            self.discriminator_learns, self.generator_learns = False, True
        elif ratio > self.discriminator_returns and not self.discriminator_learns:
            self.discriminator_learns, self.generator_learns = True, True
        if ratio > self.generator_wins and self.generator_learns:
            self.generator_learns, self.discriminator_learns = False, True
        return ratio

    def state_dict(self) -> dict[str, float | bool]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, float | bool]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
