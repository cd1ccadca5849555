"""Starts among the draws of a code model, against their definition."""

import copy

import numpy as np
import pytest
import torch

from dgn.am.candidates import Candidates, choice, tilted
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations import NoisyCode
from dgn.am.setting import Setting
from dgn.errors import UserError
from dgn.prior.code_model import to_codes


def test_choices_are_draws_without_replacement_in_proportion_to_their_weights():
    weights = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    logs = torch.from_numpy(weights).log().float()
    blocks = [[choice(logs, 16 * block + place) for place in range(4)] for block in range(4000)]
    assert all(len(set(block)) == 4 for block in blocks)
    first = np.bincount([block[0] for block in blocks], minlength=5) / 4000
    np.testing.assert_allclose(first, weights, atol=0.025)  # three standard errors
    pairs = np.array([block[:2] for block in blocks])
    after_0 = np.bincount(pairs[pairs[:, 0] == 0, 1], minlength=5) / (pairs[:, 0] == 0).sum()
    np.testing.assert_allclose(after_0[1:4], weights[1:4] / 0.5, atol=0.035)
    assert [block[:3] for block in blocks[:2]] == [[choice(logs, 16 * b + p) for p in range(3)] for b in range(2)]


def test_a_class_starts_where_the_target_sees_it_and_another_unit_where_it_is_high(normal_prior, target):
    candidates = Candidates(normal_prior, target, 200)
    objectives = parse_units("4:1, 3:2, 4:0+4:1", target)
    chosen = candidates.choose([0, 0, 0], objectives)
    coordinates = normal_prior.code_model.sample(200, torch.Generator().manual_seed(0))
    images = normal_prior.decode(to_codes(coordinates, normal_prior.code_axes, normal_prior.statistics.rectified))
    before = target.before_rectifier("3")
    seen = target(images.mul(255).round().div(255), [before, "4"])
    logits = seen["4"].double().numpy()
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    unit = seen[before][:, 2].double().numpy()
    expected = [2 * logs[:, 1], 2 * (unit - unit.mean()) / unit.std(ddof=1), 2 * (logs[:, 0] + logs[:, 1])]
    for row, weights, objective in zip(chosen, expected, objectives, strict=True):
        torch.testing.assert_close(row, coordinates[choice(torch.from_numpy(weights), 0)], msg=str(objective))
    spreads = [logs[:, 1].std(ddof=1), unit.std(ddof=1), (logs[:, 0] + logs[:, 1]).std(ddof=1)]
    np.testing.assert_allclose(candidates.spread(objectives).numpy(), np.array(spreads)[:, None], rtol=1e-4)
    alone = torch.cat([candidates.choose([seed], objectives[:1]) for seed in (3, 17)])
    assert torch.equal(candidates.choose([17, 3, 0], objectives[:1] * 3)[[1, 0]], alone)  # whatever else is searched


def test_a_prior_draws_its_candidates_once(normal_prior, target, monkeypatch):
    decoded, decode = [], type(normal_prior).decode
    monkeypatch.setattr(
        type(normal_prior), "decode", lambda prior, codes: decoded.append(len(codes)) or decode(prior, codes)
    )
    objectives = parse_units("4:1, 4:2", target)
    first = Candidates(normal_prior, target, 50).choose([0, 1], objectives)
    assert torch.equal(Candidates(normal_prior, target, 50).choose([0, 1], objectives), first)
    assert decoded == [50]
    Candidates(normal_prior, target, 40).choose([0, 1], objectives)
    assert decoded == [50, 40]
    normal_prior.generator = copy.deepcopy(normal_prior.generator)  # another one paints other images
    Candidates(normal_prior, target, 40).choose([0, 1], objectives)
    assert decoded == [50, 40, 40]


def test_values_that_are_not_finite_are_not_chosen():
    values = torch.tensor([1.0, -torch.inf, 3.0])
    assert tilted(values)[1] == -torch.inf
    torch.testing.assert_close(tilted(values)[[0, 2]], torch.tensor([-(2.0**0.5), 2.0**0.5]))
    assert not tilted(torch.tensor([2.0, -torch.inf])).any()


def test_a_search_starts_near_its_candidate(normal_prior, target):
    objectives = parse_units("4:1", target) * 3
    candidates = Candidates(normal_prior, target, 50).choose([0, 1, 2], objectives)
    distances = {}
    for level in (0.01, 1.0):
        parametrization = NoisyCode(Setting(target, normal_prior, begin="sample"), from_sample=level, candidates=50)
        start = parametrization.start([0, 1, 2], objectives)
        distances[level] = float((start[:, 0] - candidates).norm())
        assert float(parametrization.levels(5)[0]) == pytest.approx(level * normal_prior.code_model.noise_range[1])
    assert distances[0.01] < 0.02 * distances[1.0]
    without = NoisyCode(Setting(target, normal_prior, begin="sample"), candidates=50).start([0, 1])
    assert without.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 0}, "candidates=0: give a number of draws, at least 1, or start=noise"),
        ({"from_sample": 0.0}, r"from_sample=0\.0: give a fraction above 0, at most 1"),
        ({"from_image": 2}, "from_image=2: give a fraction"),
    ],
)
def test_wrong_settings_are_named(normal_prior, target, settings, message):
    with pytest.raises(UserError, match=message):
        NoisyCode(Setting(target, normal_prior), **settings)
