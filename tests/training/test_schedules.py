import pytest
import torch

from dgn.errors import UserError
from dgn.training.schedules import halve, one_cycle


def rates(make, steps: int, lr: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule, seen = make(optimizer), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_the_papers_schedule_halves_at_the_papers_iterations():
    seen = rates(lambda o: halve(o, 1000, at=[300, 500, 700, 900]), 1000, lr=2e-4)
    for step in (0, 299, 300, 499, 500, 700, 899, 900, 999):
        assert seen[step] == pytest.approx(2e-4 * 0.5 ** sum(step >= s for s in (300, 500, 700, 900)))


def test_fractions_are_of_the_run_and_warmup_rises():
    seen = rates(lambda o: halve(o, 100, at=[0.5], warmup=10), 100)
    assert seen[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert (seen[49], seen[50]) == pytest.approx((1, 0.5))


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing():
    seen = rates(lambda o: one_cycle(o, 100, warmup=0.2), 100)
    assert seen[0] == pytest.approx(0.04)
    assert max(seen) == seen[20] == pytest.approx(1)
    assert seen[99] < 0.001


def test_a_place_that_is_not_positive_is_a_user_error():
    with pytest.raises(UserError, match="not positive"):
        halve(torch.optim.SGD([torch.zeros(1)], lr=1.0), 10, at=[0])
