import pytest

from dgn.errors import UserError
from dgn.training.balance import Balance


def published(ratios: list[float]) -> list[tuple[bool, bool]]:
    """The rule as the published training loop spells it, over (G learns, D learns)."""
    generator, discriminator, states = True, True, []
    for r in ratios:
        if r < 1e-1 and discriminator:
            discriminator, generator = False, True
        if r > 5e-1 and not discriminator:
            discriminator, generator = True, True
        if r > 1e1 and generator:
            generator, discriminator = False, True
        states.append((generator, discriminator))
    return states


def test_the_rule_with_its_hysteresis_is_the_published_loops():
    ratios = [1, 0.2, 0.05, 0.2, 0.4, 0.6, 0.3, 11, 5, 0.3, 0.09, 0.3, 12, 0.05, 20, 0.7, 9.9, 10.1, 0.01]
    balance, states = Balance(), []
    for r in ratios:
        balance.update(r * 0.7, 0.7)
        states.append((balance.generator_learns, balance.discriminator_learns))
    assert states == published(ratios)
    assert states[3] == (True, False)  # between the thresholds nothing changes
    assert states[8] == (False, True)  # a frozen G waits for the next switch


def test_never_are_both_frozen():
    balance = Balance()
    for r in (0.01, 100, 0.01, 0.01, 100, 100, 0.3):
        balance.update(r, 1)
        assert balance.generator_learns or balance.discriminator_learns


def test_the_state_travels():
    balance, other = Balance(), Balance()
    balance.update(0.01, 1)
    other.load_state_dict(balance.state_dict())
    assert other == balance
    assert not other.discriminator_learns
    wider = Balance(generator_wins=20)
    wider.load_state_dict(balance.state_dict() | {"generator_wins": 10.0})  # as checkpoints had it before
    assert (wider.generator_wins, wider.discriminator_learns) == (20, False)


@pytest.mark.parametrize(
    "thresholds", [(0.6, 0.5, 10.0), (0.1, 11.0, 10.0), (-0.1, 0.5, 10.0), (0.1, float("nan"), 10.0)]
)
def test_thresholds_out_of_order_are_a_user_error(thresholds):
    with pytest.raises(UserError, match="must not fall"):
        Balance(*thresholds)
