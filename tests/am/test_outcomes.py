"""Searches that cannot climb: silent units are woken where that can be, and what stays silent or breaks is said."""

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dgn.am.leak import leaking
from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.diversity import Diversity
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers.parameters import Decay
from dgn.am.setting import Setting
from dgn.am.updates import Adam, NormalizedAscent
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


RECTIFIERS = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x.clone()),
    "method": lambda x: x.relu(),
    "F.relu in place": lambda x: F.relu(x.clone(), inplace=True),
    "F.relu6": F.relu6,
    "clamp": lambda x: x.clamp(0, 6),
    "clamp_": lambda x: x.clone().clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clip": lambda x: torch.clip(x, 0),
    "clamp to a tensor": lambda x: x.clamp(min=torch.zeros(())),
    "hardtanh": lambda x: F.hardtanh(x, 0, 1),
    "hardsigmoid": lambda x: F.hardsigmoid(x - 3),
    "hardswish": lambda x: F.hardswish(x - 3),
    "nn.Hardswish": lambda x: nn.Hardswish()(x - 3),
    "hardshrink": lambda x: F.hardshrink(x.clamp_min(-0.4), 0.3),
    "softshrink": lambda x: F.softshrink(x, 0.1).clamp_min(0),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "nn.Threshold": lambda x: nn.Threshold(0.1, 0)(x),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "max": lambda x: torch.max(x, torch.zeros(())),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "mask": lambda x: x * (x > 0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "autograd.Function": Own.apply,
    "squared": lambda x: F.relu(x).square() + F.relu(x),
    "nn.ReLU and more": lambda x: nn.ReLU()(x) * 2,
}


class Gated(nn.Module):
    """Unit 0 is silent at the start of a search, unit 1 is not."""

    def __init__(self, rectifier) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 12)
        self.rectifier = rectifier
        self.body.weight.data.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(0))
        self.body.bias.data = torch.tensor([-0.5, 0.5])

    def forward(self, x):
        return self.rectifier(self.body(x).flatten(1))


def search(network, units="output:0, output:1", steps=40, update=NormalizedAscent, regularizers=(), **more):
    target = FeatureNet(network, InputSpace((12, 12), (0.5,) * 3), "net")
    stage = Stage(Pixels(Setting(target)), update, list(regularizers), steps)
    return maximize(target, parse_units(units, target), stage, **more)


@pytest.mark.parametrize("kind", RECTIFIERS)
def test_a_unit_silenced_by_any_rectifier_is_activated_and_reported_as_silent(kind):
    found = search(Gated(RECTIFIERS[kind]))
    silent, awake = found.outcomes
    assert found.curve[0, 0] <= 0
    assert found.activations[0] > 0.05
    assert silent.found
    assert silent.note.startswith("silent at the start; woke at step")
    assert awake.found
    assert awake.note == ""
    # The other search is what it is alone.
    alone = search(Gated(RECTIFIERS[kind]), "output:1")
    torch.testing.assert_close(alone.images[0], found.images[1], rtol=1e-5, atol=1e-6)


def test_a_unit_silenced_only_by_its_own_rectifier_is_maximized_at_its_input():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 10)
    second.bias.data = torch.tensor([-9.0, 9.0])
    x = torch.rand(3, 3, 12, 12, requires_grad=True)
    entering = second(F.relu(first(x))).flatten(1)
    (below,) = torch.autograd.grad(entering[:, 0].sum(), x, retain_graph=True)
    (awake,) = torch.autograd.grad(entering[:, 1].sum(), x, retain_graph=True)
    y = F.relu(entering)
    assert (y[:, 0] == 0).all()
    assert (y[:, 1] > 0).all()
    with leaking(y):
        (leaky,) = torch.autograd.grad(y[:, 0].sum(), x, retain_graph=True)
        (same,) = torch.autograd.grad(y[:, 1].sum(), x, retain_graph=True)
    (after,) = torch.autograd.grad(y[:, 0].sum(), x)
    torch.testing.assert_close(leaky, 0.01 * below)
    assert torch.equal(same, awake)  # a gradient that passes is left as it is
    assert not after.any()  # and nothing stays when the block is left


def flat(x):
    return (x + x.abs()) / 2  # cancels exactly below 0: no step of it is flat


@pytest.mark.parametrize("regularizers", [[], [Decay()]])
def test_a_unit_that_stays_silent_has_no_result(regularizers, caplog):
    with caplog.at_level(logging.WARNING):
        found = search(Gated(lambda x: x * 0.0), steps=3, regularizers=regularizers)
    assert found.found == [False, False]
    assert "no gradient at any of 3 steps" in found.outcomes[0].note
    assert "2 of 2 searches found nothing: output:0 seed 0, output:1 seed 0 (no gradient" in caplog.text
    found = search(Gated(flat), steps=3)
    assert found.found == [False, True]


def test_silent_units_are_detected_with_a_diversity_term_and_adam():
    found = search(Gated(F.relu), steps=30, seeds=[0, 1], diversity=Diversity(0.01, "body"), update=lambda: Adam(4.0))
    assert all(outcome.note.startswith("silent at the start; woke") for outcome in found.outcomes[:2])
    assert found.activations[:2].min() > 0


class Breaking(nn.Module):
    """Unit 0 becomes NaN once it is above 0.8, unit 1 at once, unit 2 never."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Gated(lambda x: x)

    def forward(self, x):
        first, second = self.body(x).unbind(1)
        return torch.stack([first + (0.8 - first).sqrt() * 0, second.detach() * torch.nan, second], 1)


def test_a_search_with_nan_is_reported_with_its_step_and_the_others_continue(caplog):
    with caplog.at_level(logging.WARNING):
        found = search(Breaking(), "output:0, output:1, output:2")
    broken, never, whole = found.outcomes
    assert whole.found
    assert whole.note == ""
    step = int((~found.curve[:, 0].isfinite()).nonzero()[0])
    assert step > 0
    assert f"not finite (NaN) at step {step}: shown is the image before" in broken.note
    assert "not finite (NaN) at step 0: shown is the start" in never.note
    assert found.found == [False, False, True]
    assert f"2 of 3 searches found nothing: output:0 seed 0 (not finite (NaN) at step {step}" in caplog.text
    assert found.images.isfinite().all()
    assert found.activations[[0, 2]].isfinite().all()
    assert found.activations[0] <= 0.8
    torch.testing.assert_close(found.activations[0], found.curve[step - 1, 0])  # the image of the step before
    alone = search(Breaking(), "output:2")
    torch.testing.assert_close(alone.images[0], found.images[2], rtol=1e-5, atol=1e-6)


def test_nan_after_the_last_step_is_found_too():
    whole = search(Breaking(), "output:0", update=lambda: Adam(4.0, decay=False))
    step = int((~whole.curve[:, 0].isfinite()).nonzero()[0])
    found = search(Breaking(), "output:0", steps=step, update=lambda: Adam(4.0, decay=False))
    assert found.curve.isfinite().all()
    assert f"at step {step}" in found.outcomes[0].note
    torch.testing.assert_close(found.images, whole.images)
